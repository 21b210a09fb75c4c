"""Models: specification, fit, info. PyMC and ArviZ are met in ``sampling``, lifelines in Cox and Weibull."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

_HOMES = {
    "CompetingFits": "churnsurv.models.competing",
    "CoxFit": "churnsurv.models.cox_fit",
    "CoxModel": "churnsurv.models.cox",
    "Exponential": "churnsurv.models.hierarchical.priors",
    "FitInfo": "churnsurv.models.base",
    "HalfNormal": "churnsurv.models.hierarchical.priors",
    "HierarchicalFit": "churnsurv.models.hierarchical.fit",
    "HierarchicalModel": "churnsurv.models.hierarchical.model",
    "LKJ": "churnsurv.models.hierarchical.priors",
    "KaplanMeierFit": "churnsurv.models.kaplan_meier",
    "KaplanMeierModel": "churnsurv.models.kaplan_meier",
    "Normal": "churnsurv.models.hierarchical.priors",
    "StudentT": "churnsurv.models.hierarchical.priors",
    "SurvivalFit": "churnsurv.models.base",
    "SurvivalModel": "churnsurv.models.base",
    "check_support": "churnsurv.models.base",
    "WeibullFit": "churnsurv.models.weibull_fit",
    "WeibullModel": "churnsurv.models.weibull",
    "load": "churnsurv.models.saved",
}

if TYPE_CHECKING:
    from churnsurv.models.base import FitInfo as FitInfo
    from churnsurv.models.base import SurvivalFit as SurvivalFit
    from churnsurv.models.base import SurvivalModel as SurvivalModel
    from churnsurv.models.base import check_support as check_support
    from churnsurv.models.competing import CompetingFits as CompetingFits
    from churnsurv.models.cox import CoxModel as CoxModel
    from churnsurv.models.cox_fit import CoxFit as CoxFit
    from churnsurv.models.hierarchical.fit import HierarchicalFit as HierarchicalFit
    from churnsurv.models.hierarchical.model import HierarchicalModel as HierarchicalModel
    from churnsurv.models.hierarchical.priors import LKJ as LKJ
    from churnsurv.models.hierarchical.priors import Exponential as Exponential
    from churnsurv.models.hierarchical.priors import HalfNormal as HalfNormal
    from churnsurv.models.hierarchical.priors import Normal as Normal
    from churnsurv.models.hierarchical.priors import StudentT as StudentT
    from churnsurv.models.kaplan_meier import KaplanMeierFit as KaplanMeierFit
    from churnsurv.models.kaplan_meier import KaplanMeierModel as KaplanMeierModel
    from churnsurv.models.saved import load as load
    from churnsurv.models.weibull import WeibullModel as WeibullModel
    from churnsurv.models.weibull_fit import WeibullFit as WeibullFit

__all__ = [
    "LKJ",
    "CompetingFits",
    "CoxFit",
    "CoxModel",
    "Exponential",
    "FitInfo",
    "HalfNormal",
    "HierarchicalFit",
    "HierarchicalModel",
    "KaplanMeierFit",
    "KaplanMeierModel",
    "Normal",
    "StudentT",
    "SurvivalFit",
    "SurvivalModel",
    "WeibullFit",
    "WeibullModel",
    "check_support",
    "load",
]


def __getattr__(name: str) -> object:
    """Import a name when it is asked for: PyMC takes seconds."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
