"""lifelines' Weibull fitter on the rows of a fit; imported when it is asked for."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from churnsurv._typing import FloatArray
from churnsurv.errors import ModelSupportError

if TYPE_CHECKING:
    import pandas as pd
    from lifelines import WeibullAFTFitter

    from churnsurv.models.weibull_fit import WeibullFit


def _free(name: str, taken: Sequence[str]) -> str:
    while name in taken:
        name = f"{name}_"
    return name


def _frames(fit: WeibullFit) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, str]]:
    """Columns of the two parameters, times joined to the first, and what the times are called."""
    import pandas as pd

    rows, taken = fit.training, (*fit.design.terms, *fit.shape_design.terms, "Intercept")
    lower, upper = rows.known()
    exact = fit.model.rounded is None
    used: dict[str, Any] = {"stop": rows.stop} if exact else {"lower": lower, "upper": upper}
    used |= {"event": rows.event if exact else lower == upper}
    used |= {"start": rows.start} if rows.start.any() else {}
    used |= {} if rows.weight is None else {"weight": rows.weight}
    names = {name: _free(name, taken) for name in used}
    frame = pd.DataFrame(rows.scale.x, columns=list(fit.design.terms))
    frame = frame.assign(**{names[name]: values for name, values in used.items()})
    return frame, pd.DataFrame(rows.shape.x, columns=list(fit.shape_design.terms)), names


def _start(fit: WeibullFit, frame: pd.DataFrame, ancillary: pd.DataFrame) -> tuple[FloatArray, FloatArray]:
    """Our estimate in lifelines' order and scale, and its penalty by column: names sorted, the intercept last."""
    rows, cut = fit.training, fit.estimate.n_scale
    points, penalties = [], []
    for axes, design, table, own in (
        (rows.scale, fit.design, frame, fit.estimate.parameters[:cut]),
        (rows.shape, fit.shape_design, ancillary, fit.estimate.parameters[cut:]),
    ):
        order = [design.terms.index(term) for term in sorted(design.terms)]
        spread = table[sorted(design.terms)].std().to_numpy(float)
        points.append(np.append(own[1:][order] * spread, own[0]))
        # lifelines penalises an average over rows, of columns standardised over rows
        ratio = (axes.scale[order] / spread) ** 2 * rows.spell_weight / float(np.sum(rows.weights()))
        # lifelines penalises an intercept that stands alone, which would depend on the unit of time
        penalties.append(fit.model.penalizer * ratio if order else np.zeros(1))
    return np.concatenate(points), np.concatenate(penalties)


def as_lifelines(fit: WeibullFit) -> WeibullAFTFitter:
    """Fit lifelines' object on the same rows, started at the estimate.

    Parameters
    ----------
    fit : WeibullFit
        A fit that still has its rows.

    Returns
    -------
    WeibullAFTFitter
        With lifelines' summaries, predictions and plots.

    Raises
    ------
    ModelSupportError
        If its optimiser does not arrive.
    """
    from lifelines import WeibullAFTFitter
    from lifelines.exceptions import ConvergenceError, StatisticalWarning

    frame, ancillary, names = _frames(fit)
    point, penalty = _start(fit, frame, ancillary)
    fitter = WeibullAFTFitter(penalizer=penalty if fit.model.penalizer else 0.0)
    settings: dict[str, Any] = {
        "event_col": names["event"],
        "ancillary": ancillary if fit.shape_design.terms else False,
        "entry_col": names.get("start"),
        "weights_col": names.get("weight"),
        "initial_point": point,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", StatisticalWarning)  # of weights: errors are ours
        warnings.simplefilter("ignore", RuntimeWarning)  # of its first guess, which is not used
        try:
            if fit.model.rounded is None:
                fitter.fit(frame, names["stop"], **settings)
            else:
                fitter.fit_interval_censoring(frame, names["lower"], names["upper"], **settings)
        except ConvergenceError as error:
            raise ModelSupportError(
                "lifelines' optimiser does not arrive on these rows.",
                consequence="Its first guess ignores columns and entries, and may lie too far off.",
                hint="fit.parameters() has the estimate that was found here.",
            ) from error
    return fitter
