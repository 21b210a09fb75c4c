"""Parameters of a Weibull fit as frames: time ratios, hazard ratios, everything."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from churnsurv._typing import FloatArray
from churnsurv._validate import check_ci_prob
from churnsurv.errors import ModelSupportError
from churnsurv.hazards.steps import normal_quantile

if TYPE_CHECKING:
    import pandas as pd

    from churnsurv.models.weibull_fit import WeibullFit


def effects_frame(fit: WeibullFit, ci_prob: float) -> pd.DataFrame:
    """Do what :meth:`WeibullFit.summary` promises."""
    import pandas as pd
    from scipy import stats

    width, coef = normal_quantile(check_ci_prob(ci_prob)), fit.coef
    se = np.sqrt(np.diag(fit.estimate.used))[1 : fit.estimate.n_scale]
    frame = pd.DataFrame(
        {
            "coef": coef,
            "se": se,
            "time_ratio": np.exp(coef),
            "lower": np.exp(coef - width * se),
            "upper": np.exp(coef + width * se),
            "hazard_ratio": np.nan,
            "hazard_ratio_lower": np.nan,
            "hazard_ratio_upper": np.nan,
            "z": coef / se,
            "p": 2.0 * stats.norm.sf(np.abs(coef / se)),
        },
        index=coef.index,
    )
    if not fit.shape_design.terms:
        ratios = hazard_ratio_frame(fit, ci_prob)
        frame["hazard_ratio"] = ratios["hazard_ratio"]
        frame["hazard_ratio_lower"], frame["hazard_ratio_upper"] = ratios["lower"], ratios["upper"]
    frame.attrs |= {"ci_kind": "wald", "ci_prob": ci_prob}
    return frame


def hazard_ratio_frame(fit: WeibullFit, ci_prob: float) -> pd.DataFrame:
    r"""Do what :meth:`WeibullFit.hazard_ratios` promises.

    The log hazard ratio is :math:`-\beta e^{\gamma}`, whose derivatives are :math:`-e^{\gamma}` in :math:`\beta` and
    :math:`-\beta e^{\gamma}` in :math:`\gamma`.
    """
    import pandas as pd

    if fit.shape_design.terms:
        raise ModelSupportError(
            f"the shape has {len(fit.shape_design.terms)} terms, so that hazards are not proportional.",
            consequence="The ratio of two hazards changes with time: one number for it would be wrong at almost all times.",
            hint='read time ratios in fit.summary(), or fit without a shape formula: WeibullModel(formula, shape="").',
        )
    width, cut, covariance = normal_quantile(check_ci_prob(ci_prob)), fit.estimate.n_scale, fit.estimate.used
    coef, shape = fit.coef, float(np.exp(fit.estimate.parameters[cut]))
    own, cross = np.diag(covariance)[1:cut], covariance[1:cut, cut]
    se: FloatArray = shape * np.sqrt(own + 2.0 * coef.to_numpy() * cross + coef.to_numpy() ** 2 * covariance[cut, cut])
    log_ratio = -coef * shape
    frame = pd.DataFrame(
        {
            "log_hazard_ratio": log_ratio,
            "se": se,
            "hazard_ratio": np.exp(log_ratio),
            "lower": np.exp(log_ratio - width * se),
            "upper": np.exp(log_ratio + width * se),
        },
        index=coef.index,
    )
    frame.attrs |= {"ci_kind": "wald", "ci_prob": ci_prob}
    return frame


def parameter_frame(fit: WeibullFit, ci_prob: float) -> pd.DataFrame:
    """Do what :meth:`WeibullFit.parameters` promises."""
    import pandas as pd

    width, coef = normal_quantile(check_ci_prob(ci_prob)), fit.estimate.parameters
    se = np.sqrt(np.diag(fit.estimate.used))
    index = [("log_scale", term) for term in ("Intercept", *fit.design.terms)]
    index += [("log_shape", term) for term in ("Intercept", *fit.shape_design.terms)]
    frame = pd.DataFrame(
        {"coef": coef, "se": se, "lower": coef - width * se, "upper": coef + width * se},
        index=pd.MultiIndex.from_tuples(index, names=["parameter", "term"]),
    )
    frame.attrs |= {"ci_kind": "wald", "ci_prob": ci_prob}
    return frame
