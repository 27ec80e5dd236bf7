"""Explainers compared by several metrics: scores, intervals, paired tests, ranks and agreement."""
