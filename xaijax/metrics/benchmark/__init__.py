"""Explainers compared over models, budgets and keys: time, error and stability."""
