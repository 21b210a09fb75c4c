"""Posterior predictive checks: Kaplan–Meier of the spells beside what the fit expects of those at risk."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from churnsurv._typing import FloatArray, IntArray
from churnsurv._validate import check_ci_prob, check_rng
from churnsurv.errors import ArgumentError, DataTypeError, DataWarning, DefinitionError, EmptyDataError, HorizonError
from churnsurv.hazards.nonparametric import kaplan_meier
from churnsurv.models.grammar import nearest
from churnsurv.models.hierarchical.arguments import read_times
from churnsurv.models.hierarchical.in_turn import InTurn, expected_events, thinned
from churnsurv.tables.contracts import Cancellation
from churnsurv.tables.episodes import Episodes
from churnsurv.tables.periods import PeriodTable
from churnsurv.tables.spells import SpellTable

if TYPE_CHECKING:
    import pandas as pd

    from churnsurv.models.hierarchical.fit import HierarchicalFit

EVERYONE: Final = "everyone"
EARLIER_EVENTS: Final = "earlier events"
FEWEST: Final = 10
"""Spells at risk below which a curve says nothing."""
_N_DRAWS: Final = 100
_N_AGAIN: Final = 10
"""Other logs for each draw."""
_N_TIMES: Final = 30
_MOST_ROWS: Final = 50_000
_EARLIER: Final = ((0, "0"), (1, "1"), (2, "2"), (3, "3–5"), (6, "6 or more"))


def rows_of(fit: HierarchicalFit, spells: SpellTable | Episodes) -> Episodes:
    """Rows ``(start, stop]`` with the covariates of a fit.

    Parameters
    ----------
    fit : HierarchicalFit
        The fit.
    spells : SpellTable or Episodes
        Spells of the fit's definition, or rows that have its columns.

    Raises
    ------
    DefinitionError
        If the spells follow another definition, or the fit's rows were at landmarks.
    DataTypeError
        If they are none.
    """
    schema = fit.schema
    if isinstance(spells, Episodes):
        return spells
    if not hasattr(spells, "churn"):  # cells, periods, data frames
        raise DataTypeError(
            f"the check needs spells or episodes, and was given {type(spells).__name__}.",
            column="spells",
            consequence="A curve beside the fit's needs each spell with its end and its customer; cells hold sums.",
            hint="fit.check_survival(spells), the spells that the table was made of.",
        )
    if spells.cause is not None and isinstance(spells.churn, Cancellation):
        spells = replace(spells, churn=replace(spells.churn, kinds=(spells.cause,)), cause=None)
    if spells.churn != schema.churn or spells.timezone != schema.timezone:
        raise DefinitionError(
            f"the fit learnt from {schema.churn} in {schema.timezone}, the spells follow {spells.churn} in "
            f"{spells.timezone}.",
            consequence="The clock would mean something else.",
            hint="build the spells with the definition of the fit: fit.schema.churn.",
        )
    if schema.as_of == "landmark":
        raise DefinitionError(
            "the rows of this fit follow landmarks, and leave out what lies between them.",
            hint="check a fit on PeriodTable.from_spells(…).",
        )
    settings: dict[str, Any] = {"as_of": schema.as_of, "calendar": schema.calendar}
    periods = PeriodTable.from_spells(spells, breaks=schema.breaks, features=schema.features, **settings)
    numbers = {schema.columns[k].name for k in fit.structure.terms.numbers}
    edges = {c.name: c.edges for c in schema.columns if c.edges is not None and c.name not in numbers}
    return Episodes.from_periods(periods, bins=edges)


def followed_by(fit: HierarchicalFit, spells: SpellTable | Episodes) -> InTurn:
    """Rows of spells with all that each customer did before; see :func:`rows_of`."""
    grain = getattr(spells, "grain", None) if fit.info.n_cells else None
    return InTurn(fit, rows_of(fit, spells), grain)


def check_survival(
    fit: HierarchicalFit,
    spells: SpellTable | Episodes,
    by: str | None = None,
    *,
    times: Sequence[float] | None = None,
    ci_prob: float = 0.90,
    rng: int = 0,
) -> pd.DataFrame:
    """Kaplan–Meier beside the fit; see :meth:`HierarchicalFit.check_survival`."""
    import pandas as pd

    check_ci_prob(ci_prob)
    generator = check_rng(rng)
    wanted = _within(fit, times)
    followed = followed_by(fit, spells)
    kept = thinned(followed, _MOST_ROWS)
    kept = kept[followed.known[kept]]
    draws = np.unique(np.linspace(0, fit.n_draws - 1, min(fit.n_draws, _N_DRAWS)).astype(np.int64))
    parts = []
    for name, chosen in _groups(followed, kept, by).items():
        asked = _asked(followed, chosen, wanted)
        if len(asked):
            part = _compared(followed, chosen, asked, draws, ci_prob, generator)
            parts.append(part.assign(group=name))
    if times is not None and not parts:
        raise EmptyDataError(
            f"0 of {len(wanted)} times can be told: fewer than {FEWEST} spells are at risk at {wanted[0]:g} days.",
            consequence="A curve of so few would say nothing about the fit.",
            hint="fit.check_survival(spells), at the breaks of the fit.",
        )
    columns = ["group", "time", "n_at_risk", "observed", "lower", "median", "upper", "outside"]
    table = pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)
    return table.assign(ci_kind="eti", ci_prob=ci_prob)


def _groups(followed: InTurn, kept: IntArray, by: str | None) -> dict[str, IntArray]:
    if by is None:
        return {EVERYONE: kept}
    if by == EARLIER_EVENTS:
        before = followed.earlier_events[kept]
        ends = [low for low, _ in _EARLIER[1:]] + [np.inf]
        found = {
            word: kept[(before >= low) & (before < high)] for (low, word), high in zip(_EARLIER, ends, strict=True)
        }
        return {name: rows for name, rows in found.items() if len(rows)}
    names = [column.name for column in followed.rows.schema.columns]
    if by not in names:
        close = nearest(str(by), [*names, EARLIER_EVENTS])
        likely = "" if close is None else f"fit.check_survival(spells, {close!r}); "
        raise ArgumentError(
            f"by={by!r} is no column of the rows.",
            hint=f"{likely}by= one of: {', '.join([*names, repr(EARLIER_EVENTS)])}.",
        )
    k = names.index(by)
    codes, labels = followed.rows.codes[kept, k], followed.rows.schema.columns[k].labels
    return {labels[code]: kept[codes == code] for code in np.unique(codes[codes >= 0])}


def _at_risk(followed: InTurn, chosen: IntArray, times: FloatArray) -> IntArray:
    """Rows at risk just before each time."""
    began = np.searchsorted(np.sort(followed.rows.start[chosen]), times, "left")
    return np.asarray(began - np.searchsorted(np.sort(followed.rows.stop[chosen]), times, "left"), np.int64)


def _within(fit: HierarchicalFit, times: Sequence[float] | None) -> FloatArray:
    """Times that are asked about, in order; at zero there is nothing to compare."""
    last = fit.schema.breaks[-1]
    wanted = read_times(fit.schema.breaks[1:] if times is None else times)
    beyond = wanted[wanted > last]
    if len(beyond):
        kept = wanted[wanted <= last].tolist() or [last]
        raise HorizonError(
            f"{len(beyond)} of {len(wanted)} times lie beyond the last break, {last:g} days: {beyond[0]:g}.",
            column="times",
            count=len(beyond),
            total=len(wanted),
            consequence="The fit was checked on its own periods only; what comes after them is in none.",
            hint=f"fit.check_survival(spells, times={kept})",
        )
    return np.unique(wanted[wanted > 0])


def _asked(followed: InTurn, chosen: IntArray, wanted: FloatArray) -> FloatArray:
    """Times at which enough are at risk, and up to which there always were."""
    few = _at_risk(followed, chosen, wanted) < FEWEST
    return wanted[: int(np.argmax(few))] if few.any() else wanted


def _compared(
    followed: InTurn, chosen: IntArray, times: FloatArray, draws: IntArray, ci_prob: float, rng: np.random.Generator
) -> pd.DataFrame:
    import pandas as pd

    rows = followed.rows
    weight = None if rows.weight is None else rows.weight[chosen]
    with warnings.catch_warnings():
        # A group without an event is a curve like any other here.
        warnings.simplefilter("ignore", DataWarning)
        curve = kaplan_meier(rows.stop[chosen], followed.events[chosen], entry=rows.start[chosen], weight=weight)
    observed = curve.survival_at(times)
    grid = np.unique(np.concatenate([[0.0], np.linspace(0.0, times[-1], _N_TIMES + 1), times]))
    expected = expected_events(followed, chosen, grid, draws)
    # Another log of the same customers, each watched for as long: its events, and the curve that they would make.
    events = rng.poisson(np.repeat(expected.events, _N_AGAIN, axis=0)).astype(np.float64)
    again = expected.cumulative(events)
    survival = np.exp(-again[:, np.searchsorted(grid, times)])
    tail = 0.5 * (1.0 - ci_prob)
    lower, median, upper = np.quantile(survival, [tail, 0.5, 1.0 - tail], axis=0)
    return pd.DataFrame(
        {
            "time": times,
            "n_at_risk": _at_risk(followed, chosen, times),
            "observed": observed,
            "lower": lower,
            "median": median,
            "upper": upper,
            "outside": (observed < lower) | (observed > upper),
        }
    )
