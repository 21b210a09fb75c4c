"""Frames for people: effects as hazard ratios, the baseline by period."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from churnsurv._typing import FloatArray
from churnsurv.errors import ArgumentError
from churnsurv.models.formula import NUMBER
from churnsurv.tables.schema import UNSEEN

if TYPE_CHECKING:
    import pandas as pd

    from churnsurv.models.hierarchical.fit import HierarchicalFit


def equal_tailed(draws: FloatArray, ci_prob: float) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Median and equal-tailed bounds along the first axis.

    Examples
    --------
    >>> [round(float(bound), 9) for bound in equal_tailed(np.arange(101.0), 0.9)]
    [50.0, 5.0, 95.0]
    """
    if not 0.0 < ci_prob < 1.0:
        raise ArgumentError(f"ci_prob={ci_prob!r} is no probability.", hint="ci_prob=0.90")
    tail = 0.5 * (1.0 - ci_prob)
    lower, middle, upper = np.quantile(draws, [tail, 0.5, 1.0 - tail], axis=0)
    return middle, lower, upper


def effects_frame(fit: HierarchicalFit, ci_prob: float) -> pd.DataFrame:
    """Hazard ratios of terms and group levels; see :meth:`HierarchicalFit.summary`."""
    import pandas as pd

    parts = [_terms(fit, ci_prob)] + [_group(fit, group, ci_prob) for group in fit.model.slopes]
    frame = pd.concat([part for part in parts if len(part)] or parts[:1], ignore_index=True)
    return frame.assign(ci_kind="eti", ci_prob=ci_prob)


def _terms(fit: HierarchicalFit, ci_prob: float) -> pd.DataFrame:
    import pandas as pd

    columns, terms = fit.schema.columns, fit.effects.terms
    flat = fit._flat
    middle, lower, upper = equal_tailed(np.exp(flat["coef"]), ci_prob) if terms else (np.zeros(0),) * 3
    return pd.DataFrame(
        {
            "column": [":".join(columns[k].name for k, _ in term.factors) for term in terms],
            "level": [":".join(_level(fit, k, level) for k, level in term.factors) for term in terms],
            "reference": [":".join(_reference(fit, k, level) for k, level in term.factors) for term in terms],
            "hazard_ratio": middle,
            "lower": lower,
            "upper": upper,
            "n_events": fit.counts.term_events.astype(np.int64),
            "exposure": fit.counts.term_exposure,
            "unpooled": np.full(len(terms), np.nan),
        }
    )


def _level(fit: HierarchicalFit, column: int, level: int) -> str:
    return "one more" if level == NUMBER else fit.schema.columns[column].labels[level]


def _reference(fit: HierarchicalFit, column: int, level: int) -> str:
    return "any number" if level == NUMBER else fit.schema.columns[column].labels[fit.effects.references[column]]


def _group(fit: HierarchicalFit, group: str, ci_prob: float) -> pd.DataFrame:
    """Effects of a group's levels: of belonging to them, and where slopes vary, of each term there beyond its average."""
    import pandas as pd

    effects, terms = np.exp(fit._flat[f"{group}_effect"]), fit.structure.groups[group].terms
    effects = effects.reshape(*effects.shape[:2], len(terms))
    counts, parts = fit.counts, []
    for k, term in enumerate(terms):
        middle, lower, upper = equal_tailed(effects[..., k], ci_prob)
        own = k == 0
        parts.append(
            pd.DataFrame(
                {
                    "column": group if own else f"{group}:{term}",
                    "level": np.array(fit.structure.groups[group].labels, dtype=object),
                    "reference": "",
                    "hazard_ratio": middle,
                    "lower": lower,
                    "upper": upper,
                    "n_events": counts.level_events[group].astype(np.int64),
                    "exposure": counts.level_exposure[group],
                    "unpooled": counts.level_events[group] / counts.level_expected[group] if own else np.nan,
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def baseline_frame(fit: HierarchicalFit, ci_prob: float) -> pd.DataFrame:
    """Hazard of the reference by period; see :meth:`HierarchicalFit.baseline`."""
    import pandas as pd

    breaks = np.asarray(fit.schema.breaks)
    nobody = np.full((1, len(fit.schema.columns)), UNSEEN)
    draws = np.arange(fit.n_draws)
    passed = fit._predictor.between(nobody, breaks[None, :-1], breaks[None, 1:], draws)[:, 0]
    middle, lower, upper = equal_tailed(passed / np.diff(breaks), ci_prob)
    return pd.DataFrame(
        {
            "period": np.arange(fit.schema.n_periods),
            "start": breaks[:-1],
            "stop": breaks[1:],
            "hazard": middle,
            "lower": lower,
            "upper": upper,
            "ci_kind": "eti",
            "ci_prob": ci_prob,
        }
    )
