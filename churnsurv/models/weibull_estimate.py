"""From a table to a Weibull fit: rows, maximum, what is to be said of it, draws."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from churnsurv.errors import ConvergenceWarning, DataWarning, compose_message
from churnsurv.models.base import FitInfo
from churnsurv.models.cox_rows import as_episodes, known_rows
from churnsurv.models.support import Support
from churnsurv.models.weibull_fit import WeibullFit, draw
from churnsurv.models.weibull_maximum import Estimate, maximise
from churnsurv.models.weibull_rows import WeibullRows, read_rows

if TYPE_CHECKING:
    from churnsurv.models.weibull import WeibullModel

_FEW_EVENTS = 5
"""Events per term below which the fit is unreliable."""


def fit_weibull(
    model: WeibullModel, table: Any, *, rng: int, draws: int, report: Callable[[float, str], None]
) -> WeibullFit:
    """Do what :meth:`~churnsurv.models.weibull.WeibullModel.fit` promises.

    Parameters
    ----------
    model : WeibullModel
        The specification.
    table : PeriodTable, SpellTable or Episodes
        Checked for what the model supports.
    rng, draws : int
        Seed and number of draws.
    report : callable
        Told the share done and a sentence.
    """
    report(0.0, "reading the rows")
    episodes, left_out = known_rows(model, as_episodes(table, model.bins))
    rows, design, shape_design = read_rows(model, episodes)
    names = ["log_scale", *design.terms, "log_shape", *(f"shape: {term}" for term in shape_design.terms)]
    report(0.4, f"maximising over {len(names)} parameters")
    estimate = maximise(rows, model.penalizer, names, robust=model.robust)
    messages, reliable = _messages(rows, estimate, len(names) - 2, penalised=model.penalizer > 0)
    left = [f"left out: {', '.join(some.left_out)}." for some in (design, shape_design) if some.left_out]
    info = FitInfo(
        status="ok" if reliable else "unreliable",
        n_draws=draws,
        messages=(*left_out, *left, *messages),
        n_spells=rows.n_spells,
        n_events=int(rows.event.sum()),
        exposure=float(np.sum((rows.stop - rows.start) * rows.weights())),
        independent_gaps=not getattr(episodes.schema.churn, "on_tenure", False),
        fingerprint=rows.fingerprint(),
        cause=episodes.cause or "",
    )
    report(0.9, f"drawing {draws:,} times")
    drawn = draw(estimate, draws, rng)
    support = Support.of(rows.start, rows.stop, rows.weight if rows.whole_weights else None)
    return WeibullFit(model, episodes.schema, info, design, shape_design, estimate, support, drawn, seed=rng, rows=rows)


def _messages(rows: WeibullRows, estimate: Estimate, n_terms: int, *, penalised: bool) -> tuple[tuple[str, ...], bool]:
    """Sentences about the fit, each a warning too, and whether it can be relied upon."""
    found, n_events = [], int(rows.event.sum())
    thin = n_events < _FEW_EVENTS * n_terms and not penalised
    if thin:
        word = "term" if n_terms == 1 else "terms"
        found.append(
            f"{n_events:,} events for {n_terms:,} {word}: {n_events / n_terms:.1f} per term, and five are the least."
        )
        _warn(
            DataWarning, found[-1], "Estimates lie too far from zero, and Wald intervals are off.", "use fewer columns."
        )
    if n_events == 1:
        found.append("there is one event.")
        _warn(DataWarning, found[-1], "One customer decides everything.", "use a longer window.")
    if not estimate.converged:
        found.append(f"the maximum was not reached in {estimate.steps} Newton steps.")
        _warn(ConvergenceWarning, found[-1], "Parameters and errors may be off.", "look at the columns and times.")
    return tuple(found), estimate.converged and not thin


def _warn(kind: type[Warning], what: str, consequence: str, hint: str) -> None:
    warnings.warn(compose_message(what, rows=[], count=None, consequence=consequence, hint=hint), kind, stacklevel=5)
