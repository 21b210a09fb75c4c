"""Charts: every ``plot_x(result)`` draws an ``x_data(result)`` frame that does all the work."""

from churnsurv.plots.calibration import calibration_data, plot_calibration
from churnsurv.plots.causes import causes_data, plot_causes
from churnsurv.plots.check import as_of_check_data, plot_as_of_check
from churnsurv.plots.effects import effects_data, plot_effects
from churnsurv.plots.groups import group_data, plot_groups
from churnsurv.plots.leaderboard import leaderboard_data, plot_leaderboard
from churnsurv.plots.months import months_data, plot_months
from churnsurv.plots.risk import plot_risk_distribution, risk_distribution_data
from churnsurv.plots.survival import plot_survival, survival_data
from churnsurv.plots.tenure import tenure_data
from churnsurv.plots.tenure_chart import plot_tenure, plot_tenure_groups

__all__ = [
    "as_of_check_data",
    "calibration_data",
    "causes_data",
    "effects_data",
    "group_data",
    "leaderboard_data",
    "months_data",
    "plot_as_of_check",
    "plot_calibration",
    "plot_causes",
    "plot_effects",
    "plot_groups",
    "plot_leaderboard",
    "plot_months",
    "plot_risk_distribution",
    "plot_survival",
    "plot_tenure",
    "plot_tenure_groups",
    "risk_distribution_data",
    "survival_data",
    "tenure_data",
]
