"""Formulas on arrays, the only place they live; pure NumPy.

Numbered equations stand in docs/explanation/quantities.md.
"""

from churnsurv.hazards.algebra import (
    conditional_survival,
    cumulative_hazard,
    cumulative_hazard_between,
    density,
    exposure_by_period,
    hazard_at,
    restricted_mean_survival_time,
    survival,
)
from churnsurv.hazards.conversions import (
    cumulative_hazard_to_hazard,
    cumulative_hazard_to_survival,
    hazard_to_period_hazard,
    period_hazard_to_hazard,
    survival_to_cumulative_hazard,
)
from churnsurv.hazards.curves import KaplanMeier, NelsonAalen
from churnsurv.hazards.nonparametric import kaplan_meier, nelson_aalen

__all__ = [
    "KaplanMeier",
    "NelsonAalen",
    "conditional_survival",
    "cumulative_hazard",
    "cumulative_hazard_between",
    "cumulative_hazard_to_hazard",
    "cumulative_hazard_to_survival",
    "density",
    "exposure_by_period",
    "hazard_at",
    "hazard_to_period_hazard",
    "kaplan_meier",
    "nelson_aalen",
    "period_hazard_to_hazard",
    "restricted_mean_survival_time",
    "survival",
    "survival_to_cumulative_hazard",
]
