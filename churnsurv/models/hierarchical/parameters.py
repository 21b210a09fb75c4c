"""A frame for people of the parameters that are no hazard ratios: spreads, shapes, correlations, a cured share."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import special

from churnsurv._typing import FloatArray
from churnsurv.models.hierarchical.correlation import pairs
from churnsurv.models.hierarchical.pieces import HAZARD
from churnsurv.models.hierarchical.summaries import equal_tailed

if TYPE_CHECKING:
    import pandas as pd

    from churnsurv.models.hierarchical.fit import HierarchicalFit
    from churnsurv.models.hierarchical.pieces import Piece

_LOG_TWO = math.log(2.0)


@dataclass(frozen=True, eq=False)
class _Read:
    """One parameter as a person reads it: its draws in their unit, and what a value of it says."""

    parameter: str
    variable: str
    draws: FloatArray
    says: Callable[[float], str]
    unit: str = ""
    of: str = ""


def parameters_frame(fit: HierarchicalFit, ci_prob: float) -> pd.DataFrame:
    """Everything of a posterior that is no hazard ratio; see :meth:`HierarchicalFit.parameters`."""
    import pandas as pd

    rows = []
    for one in (*_shapes(fit), *_customers(fit), *_spreads(fit)):
        middle, lower, upper = (float(value) for value in equal_tailed(one.draws, ci_prob))
        rows.append((one.parameter, one.of, middle, lower, upper, one.unit, one.says(middle), one.variable))
    names = ["parameter", "of", "median", "lower", "upper", "unit", "meaning", "variable"]
    numbers = dict.fromkeys(("median", "lower", "upper"), np.float64)
    return pd.DataFrame(rows, columns=names).astype(numbers).assign(ci_kind="eti", ci_prob=ci_prob)


def _shapes(fit: HierarchicalFit) -> Iterator[_Read]:
    """Form of a baseline in continuous time."""
    flat, scale = fit._flat, fit.structure.time_scale
    if "log_shape" in flat:
        yield _Read("shape", "log_shape", np.exp(flat["log_shape"]), _shape)
    if "location" in flat:
        days = scale * np.exp(flat["location"])
        yield _Read("median_time", "location", days, "half of the reference's events come by day {:.3g}".format, "days")
    if "log_spread" in flat:
        yield _Read("spread", "log_spread", np.exp(flat["log_spread"]), _spread_of_times, "log time")


def _customers(fit: HierarchicalFit) -> Iterator[_Read]:
    """How customers differ from each other."""
    flat = fit._flat
    if "frailty_sd" in flat:
        yield _Read("frailty_sd", "frailty_sd", flat["frailty_sd"], _frailty)
    if "cure_logit" in flat:
        share = 100.0 * special.expit(flat["cure_logit"])
        on_tenure = fit.schema.churn.on_tenure
        says = (
            "{:.3g} of 100 customers will never leave"
            if on_tenure
            else "after an activity {:.3g} of 100 never come back"
        )
        yield _Read("cured_share", "cure_logit", share, says.format, "%")


def _spreads(fit: HierarchicalFit) -> Iterator[_Read]:
    """How far periods, months and levels of groups scatter, and how their effects go together."""
    for piece in fit.structure.pieces:
        name, terms = f"{piece.name}_sd", piece.block.terms
        sd = fit._flat[name].reshape(-1, len(terms))
        for k, term in enumerate(terms):
            of = piece.group if k == 0 else f"{piece.group}: {term}"
            unit = f"log {piece.predictor.removeprefix('log_')}"
            yield _Read(name, name, sd[:, k], _says(piece, k), unit, of)
        if len(terms) > 1:
            yield from _correlations(fit, piece)


def _correlations(fit: HierarchicalFit, piece: Piece) -> Iterator[_Read]:
    name, terms = f"{piece.name}_correlation", piece.block.terms
    rows, columns = pairs(len(terms))
    for k, (i, j) in enumerate(zip(rows, columns, strict=True)):
        of = f"{piece.group}: {terms[i]} ~ {terms[j]}"
        yield _Read(name, name, fit._flat[name][:, k], "of the two effects, from level to level".format, "", of)


def _says(piece: Piece, term: int) -> Callable[[float], str]:
    """What a standard deviation says; of a walk per doubling of time, since its steps are as long as log time."""
    if piece.name == "walk":
        return lambda sd: (
            f"the hazard changes by a factor of about {_factor(sd * math.sqrt(_LOG_TWO))} per doubling of time"
        )
    if piece.name.endswith("_walk"):
        return lambda sd: (
            f"a level departs from the common curve by a factor of about {_factor(sd * math.sqrt(_LOG_TWO))} per doubling"
            " of time"
        )
    if piece.name == "month":
        return lambda sd: f"the level moves by about {math.expm1(sd):.0%} from month to month"
    if piece.name == "season":
        return lambda sd: f"two months of the year in three lie within a factor of {_factor(sd)} of the average"
    if term:
        return lambda sd: (
            f"effects in two levels of three lie within a factor of {math.exp(sd):.3f} of the average effect"
        )
    what = "two levels in three" if piece.predictor == HAZARD else "shapes of two levels in three"
    return lambda sd: f"{what} lie within a factor of {_factor(sd)} of the average"


def _factor(sd: float) -> str:
    return f"{math.exp(sd):.2f}"


def _shape(shape: float) -> str:
    return f"the hazard {'rises' if shape > 1.0 else 'falls'} with time to the power {shape - 1.0:.2f}"


def _spread_of_times(spread: float) -> str:
    return f"two times in three lie within a factor of {_factor(spread)} of the median"


def _frailty(sd: float) -> str:
    return f"customers' own rhythms scatter with a standard deviation of {sd:.2f} around 1"
