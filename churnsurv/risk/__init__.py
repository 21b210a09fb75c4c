"""From a fit to numbers a person can use: risk, totals, and whether they can be believed."""
