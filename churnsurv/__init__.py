"""Survival analysis and Bayesian modelling of customer churn.

A churn model is a hazard, and a hazard meets the data only through events and exposure. The way of
the data is the list of names::

    EventLog → SpellTable → PeriodTable → CellTable → HierarchicalModel(...).fit → churn_risk → report

Nothing heavy is imported until it is used.
"""

from __future__ import annotations

import importlib
import sys
import types
from typing import TYPE_CHECKING

__version__ = "0.1.0"

_HOMES = {
    "EventLog": "churnsurv.tables.events",
    "ObservationWindow": "churnsurv.tables.window",
    "Silence": "churnsurv.tables.churn",
    "Cancellation": "churnsurv.tables.contracts",
    "Inactivity": "churnsurv.tables.contracts",
    "SpellTable": "churnsurv.tables.spells",
    "PeriodTable": "churnsurv.tables.periods",
    "CellTable": "churnsurv.tables.cells",
    "Episodes": "churnsurv.tables.episodes",
    "OpenSpells": "churnsurv.tables.open_spells",
    "Quantiles": "churnsurv.tables.bins",
    "Count": "churnsurv.tables.features",
    "Rhythm": "churnsurv.tables.features",
    "Value": "churnsurv.tables.features",
    "Mean": "churnsurv.tables.features",
    "Maximum": "churnsurv.tables.features",
    "Drop": "churnsurv.tables.features",
    "Recency": "churnsurv.tables.features",
    "Arrival": "churnsurv.tables.features",
    "leak_audit": "churnsurv.tables.leaks",
    "HierarchicalModel": "churnsurv.models.hierarchical.model",
    "CoxModel": "churnsurv.models.cox",
    "WeibullModel": "churnsurv.models.weibull",
    "KaplanMeierModel": "churnsurv.models.kaplan_meier",
    "DiscreteHazardModel": "churnsurv.models.discrete",
    "CompetingFits": "churnsurv.models.competing",
    "compare": "churnsurv.models.hierarchical.comparison",
    "load": "churnsurv.models.saved",
    "CauseNetwork": "churnsurv.causes.network",
    "Node": "churnsurv.causes.nodes",
    "churn_risk": "churnsurv.risk.predict",
    "as_of_check": "churnsurv.risk.checks",
    "backtest": "churnsurv.risk.backtest",
    "leaderboard": "churnsurv.risk.leaderboard",
    "report": "churnsurv.report.html",
    "load_online_retail": "churnsurv.datasets.online_retail",
    "simulate_shop": "churnsurv.datasets.shop",
    "ChurnsurvError": "churnsurv.errors",
}

if TYPE_CHECKING:
    from churnsurv.causes.network import CauseNetwork as CauseNetwork
    from churnsurv.causes.nodes import Node as Node
    from churnsurv.datasets.online_retail import load_online_retail as load_online_retail
    from churnsurv.datasets.shop import simulate_shop as simulate_shop
    from churnsurv.errors import ChurnsurvError as ChurnsurvError
    from churnsurv.models.competing import CompetingFits as CompetingFits
    from churnsurv.models.cox import CoxModel as CoxModel
    from churnsurv.models.discrete import DiscreteHazardModel as DiscreteHazardModel
    from churnsurv.models.hierarchical.comparison import compare as compare
    from churnsurv.models.hierarchical.model import HierarchicalModel as HierarchicalModel
    from churnsurv.models.kaplan_meier import KaplanMeierModel as KaplanMeierModel
    from churnsurv.models.saved import load as load
    from churnsurv.models.weibull import WeibullModel as WeibullModel
    from churnsurv.report.html import report as report
    from churnsurv.risk.backtest import backtest as backtest
    from churnsurv.risk.checks import as_of_check as as_of_check
    from churnsurv.risk.leaderboard import leaderboard as leaderboard
    from churnsurv.risk.predict import churn_risk as churn_risk
    from churnsurv.tables.bins import Quantiles as Quantiles
    from churnsurv.tables.cells import CellTable as CellTable
    from churnsurv.tables.churn import Silence as Silence
    from churnsurv.tables.contracts import Cancellation as Cancellation
    from churnsurv.tables.contracts import Inactivity as Inactivity
    from churnsurv.tables.episodes import Episodes as Episodes
    from churnsurv.tables.events import EventLog as EventLog
    from churnsurv.tables.features import Arrival as Arrival
    from churnsurv.tables.features import Count as Count
    from churnsurv.tables.features import Drop as Drop
    from churnsurv.tables.features import Maximum as Maximum
    from churnsurv.tables.features import Mean as Mean
    from churnsurv.tables.features import Recency as Recency
    from churnsurv.tables.features import Rhythm as Rhythm
    from churnsurv.tables.features import Value as Value
    from churnsurv.tables.leaks import leak_audit as leak_audit
    from churnsurv.tables.open_spells import OpenSpells as OpenSpells
    from churnsurv.tables.periods import PeriodTable as PeriodTable
    from churnsurv.tables.spells import SpellTable as SpellTable
    from churnsurv.tables.window import ObservationWindow as ObservationWindow

__all__ = list(_HOMES)


def __getattr__(name: str) -> object:
    """Import a public name when it is first used."""
    if name not in _HOMES:
        raise AttributeError(f"module 'churnsurv' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Public names."""
    return sorted(__all__)


class _Package(types.ModuleType):
    """Keeps ``churnsurv.report`` the function: importing the folder of that name would hide it."""

    def __setattr__(self, name: str, value: object) -> None:
        if name == "report" and isinstance(value, types.ModuleType):
            return
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
