"""Discrete Bayesian networks, asked exactly, in every posterior draw at once."""
