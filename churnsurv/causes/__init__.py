"""Why customers leave: a small Bayesian network whose leaf is the hazard, and what can be said of it."""
