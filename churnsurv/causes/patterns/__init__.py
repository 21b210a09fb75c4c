"""Conditions that often precede churn: patterns, not causes."""
