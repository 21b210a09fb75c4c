"""Scores of predicted risk against what happened: on arrays, under censoring, delayed entry and ties."""
