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
from churnsurv.hazards.bands import SurvivalBand
from churnsurv.hazards.comparison import SurvivalComparison, compare_survival
from churnsurv.hazards.competing import AalenJohansen, aalen_johansen, nelson_aalen_by_cause
from churnsurv.hazards.conversions import (
    cumulative_hazard_to_hazard,
    cumulative_hazard_to_survival,
    hazard_to_period_hazard,
    period_hazard_to_hazard,
    survival_to_cumulative_hazard,
)
from churnsurv.hazards.curves import KaplanMeier, NelsonAalen
from churnsurv.hazards.log_rank import LogRankTest, LogRankTrend, log_rank_test
from churnsurv.hazards.nonparametric import kaplan_meier, nelson_aalen
from churnsurv.hazards.restricted_mean import RestrictedMean, RestrictedMeanContrast, contrast_restricted_means

__all__ = [
    "AalenJohansen",
    "KaplanMeier",
    "LogRankTest",
    "LogRankTrend",
    "NelsonAalen",
    "RestrictedMean",
    "RestrictedMeanContrast",
    "SurvivalBand",
    "SurvivalComparison",
    "aalen_johansen",
    "compare_survival",
    "conditional_survival",
    "contrast_restricted_means",
    "cumulative_hazard",
    "cumulative_hazard_between",
    "cumulative_hazard_to_hazard",
    "cumulative_hazard_to_survival",
    "density",
    "exposure_by_period",
    "hazard_at",
    "hazard_to_period_hazard",
    "kaplan_meier",
    "log_rank_test",
    "nelson_aalen",
    "nelson_aalen_by_cause",
    "period_hazard_to_hazard",
    "restricted_mean_survival_time",
    "survival",
    "survival_to_cumulative_hazard",
]
