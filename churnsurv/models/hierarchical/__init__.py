"""The hierarchical Bayesian engine: a baseline hazard, effects, and what differs from customer to customer."""
