"""Sanity checks: does an explanation depend on the parameters of the model, and on the class?"""
