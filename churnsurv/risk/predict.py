"""The prediction verb: who churns within the horizon, given all that is known now."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from churnsurv._typing import BoolArray, FloatArray, StrArray
from churnsurv.errors import (
    ApproximationWarning,
    ArgumentError,
    DefinitionError,
    EmptyDataError,
    HorizonError,
    UnreliableFitError,
)
from churnsurv.risk.table import RiskColumns, RiskTable, Totals
from churnsurv.tables.open_spells import OpenSpells, check_same_definition

if TYPE_CHECKING:
    import xarray as xr

    from churnsurv.models.base import SurvivalFit
    from churnsurv.tables.spells import SpellTable

_BLOCK = 1024
"""Customers that share one stream of random numbers; a batch is a whole number of blocks."""

_SUPPORT = 30
"""Training spells that must be at risk at the last time needed."""

_MOST_LEVELS = 1000
"""Columns with more levels get no predictive totals: one count per draw, level and horizon is kept."""

_NEW_AT_ONCE = 64
"""Customers of new groups at a time: each costs an array of draws and quadrature nodes."""

_POINT_FUTURES = 1000
"""Possible futures drawn from a fit without draws."""

_SEASON_DAYS = 730.0

Progress = Callable[[float, str], None]


def churn_risk(
    fit: SurvivalFit,
    spells: SpellTable,
    horizon: Sequence[float] | float = (30, 60, 90),
    *,
    ci_prob: float = 0.90,
    n_draws: int = 1000,
    rng: int = 0,
    chunk_size: int = 1024,
    allow_unreliable: bool = False,
    progress: Progress | None = None,
) -> RiskTable:
    r"""Churn probability of every customer at risk at the window's end, with its uncertainty.

    Under :class:`Silence` with :math:`N` days, a customer who has been silent for :math:`r < N` days is
    declared churned within :math:`h \le N` days with probability

    .. math:: P = S(N) / S(r) \text{ if } r + h \ge N, \text{ else exactly } 0.

    ``no_return_probability`` is :math:`S(r + h) / S(r)`. Both are taken draw by draw and then averaged; where
    a group was never seen, its effect is integrated out of numerator and denominator within each draw.

    Cost: one pass over the customers at risk, ``n_draws`` exponentials each. Memory: about seven arrays of
    ``n_draws × chunk_size × (len(horizon) + 1)`` floats (0.2 GB by default) beside the table itself, whatever the
    number of customers. The result is the same to the last byte for any ``chunk_size``.

    Parameters
    ----------
    fit : SurvivalFit
        A fit on cells of the same definition.
    spells : SpellTable
        The customers' spells; a customer's history matters, which is why a list of ids is not enough.
    horizon : sequence of float
        Days ahead, each in (0, N].
    ci_prob : float
        Probability inside the equal-tailed bounds, in (0, 1).
    n_draws : int
        Posterior draws to use, evenly spaced among those of the fit.
    rng : int
        Seed of the chance in :meth:`RiskTable.totals`.
    chunk_size : int
        Customers at a time.
    allow_unreliable : bool
        Answer although the fit failed its gate; every number that the fit decides is then ``unreliable``.
    progress : callable, optional
        Told the share done and what is being done.

    Returns
    -------
    RiskTable
        One row per customer and horizon.

    Raises
    ------
    HorizonError
        If a horizon exceeds the silence that defines churn.
    UnreliableFitError
        If the fit failed its gate and that was not acknowledged.
    DefinitionError
        If the spells follow another definition than the fit, or closures compete with the return.
    EmptyDataError
        If nobody is at risk.
    """
    horizons = _check_horizons(spells, horizon)
    _check_numbers(ci_prob=ci_prob, n_draws=n_draws, chunk_size=chunk_size)
    check_same_definition(spells, fit.schema)
    _check_answerable(fit, spells)
    if not fit.info.reliable and not allow_unreliable:
        raise UnreliableFitError(
            f"the fit did not pass its gate: {' '.join(fit.info.messages)}",
            consequence="Its intervals may be far too narrow, and its averages off.",
            hint="fit with more draws or a tighter prior, or acknowledge it: churn_risk(…, allow_unreliable=True).",
        )
    index = np.unique(np.linspace(0, fit.n_draws - 1, min(n_draws, fit.n_draws)).round().astype(np.int64))
    size = -(-chunk_size // _BLOCK) * _BLOCK
    parts, sums = [], _Sums(fit, horizons, index, rng)
    for batch in OpenSpells.batches(spells, fit.schema, size=size):
        part, silent = _batch_risk(fit, spells, batch, horizons, ci_prob, index)
        sums.add(batch, part, silent)
        parts.append(part)
        if progress:
            done = sum(len(p.customer_id) for p in parts)
            progress(done / spells.n_open, f"{done:,} of {spells.n_open:,} customers")
    columns = RiskColumns.joined(parts)
    table = RiskTable(fit, spells, horizons, ci_prob, rng, index, columns, sums.totals(columns), _caveats(fit, spells))
    if fit.n_draws > 1:
        _warn_independent(fit)
    return table


def _check_horizons(spells: SpellTable, horizon: Sequence[float] | float) -> tuple[float, ...]:
    try:
        horizons = tuple(float(h) for h in np.atleast_1d(np.asarray(horizon, dtype=float)))
    except (TypeError, ValueError) as error:
        raise ArgumentError(
            f"horizon={horizon!r} is not a number of days.", hint="write horizon=[30, 60, 90]."
        ) from error
    if not horizons or len(set(horizons)) != len(horizons):
        raise ArgumentError(f"horizon={horizon!r} is empty or names a day twice.", hint="write horizon=[30, 60, 90].")
    for h in horizons:
        spells.churn.check_horizon(h)
    return tuple(sorted(horizons))


def _check_answerable(fit: SurvivalFit, spells: SpellTable) -> None:
    """Refuse what no customer could be told."""
    days, last = spells.churn.days, fit.schema.breaks[-1]
    if spells.churn.terminal:
        raise DefinitionError(
            f"closures ({', '.join(spells.churn.terminal)}) compete with the return, and one fit knows one of the two.",
            consequence="Whoever closes the account would count as still able to return, or as never leaving.",
            hint="leave terminal= out: whoever closes the account then falls silent, and is counted on the day that shows.",
        )
    if last < days:
        raise HorizonError(
            f"the fit reaches {last:g} days of silence, and churn is defined at {days:g}.",
            consequence="The data say nothing about the day on which a customer is declared churned.",
            hint="use a longer window, breaks that reach it, or define Silence with fewer days.",
        )
    if spells.n_open == 0:
        raise EmptyDataError("nobody is at risk at the window's end.", hint="check the window and the definition.")


def _check_numbers(*, ci_prob: float, n_draws: int, chunk_size: int) -> None:
    if not 0 < ci_prob < 1:
        raise ArgumentError(f"ci_prob={ci_prob!r} lies outside (0, 1).", hint="write ci_prob=0.90.")
    for name, value in (("n_draws", n_draws), ("chunk_size", chunk_size)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ArgumentError(f"{name}={value!r} is not a whole number of at least 1.", hint=f"write {name}=1000.")


def _warn_independent(fit: SurvivalFit) -> None:
    if fit.info.independent_gaps:
        warnings.warn(
            "a customer's repeated gaps are treated as independent: intervals are too narrow."
            " Hint: read them as a lower bound of the uncertainty.",
            ApproximationWarning,
            stacklevel=3,
        )


def _caveats(fit: SurvivalFit, spells: SpellTable) -> tuple[str, ...]:
    texts = []
    if not fit.info.reliable:
        texts.append("The fit did not pass its gate: " + " ".join(fit.info.messages))
    days = spells.window.days(spells.log.timezone)
    known = (
        f"The log covers {days:.0f} days. The season cannot be known from less than two years"
        if days < _SEASON_DAYS
        else "The model has no season"
    )
    texts.append(f"{known}: around holidays the risk may be far off.")
    if spells.churn.days not in fit.schema.breaks:
        texts.append(
            f"The {spells.churn.days:g} days that define churn are no period edge: how many gaps reach them is judged at"
            " the end of their period."
        )
    if fit.info.independent_gaps:
        texts.append(
            "A customer's repeated gaps are treated as independent: the intervals are too narrow. In simulated shops"
            " whose customers differ, 90% intervals of single customers held the truth in 10% to 30% of cases."
        )
    return tuple(texts)


def _batch_risk(
    fit: SurvivalFit,
    spells: SpellTable,
    batch: OpenSpells,
    horizons: tuple[float, ...],
    ci_prob: float,
    index: np.ndarray,
) -> tuple[RiskColumns, FloatArray]:
    """Risk of one batch, and the draws of never returning before the churn day, shape (draws, n)."""
    days, reached, h = spells.churn.days, batch.reached, np.asarray(horizons)
    until = np.column_stack([np.maximum(reached, days), reached[:, None] + h])
    survival = fit.conditional_survival(batch, until, draws=index)
    silent = survival[:, :, 0]
    decided = reached[:, None] + h >= days
    churned = reached >= days
    blank = batch.unknown | fit.unseen(batch)
    point = len(index) == 1

    mean, low, high = _summary(silent, ci_prob)
    churn, lower, upper = (np.where(decided, value[:, None], 0.0) for value in (mean, low, high))
    if point:
        lower, upper = (np.where(decided, np.nan, 0.0) for _ in range(2))
    refused = (blank | np.isnan(mean))[:, None] & decided
    for values, known in ((churn, 1.0), (lower, 1.0), (upper, 1.0)):
        values[refused] = np.nan
        values[churned] = known
    gone, gone_low, gone_high = _summary(survival[:, :, 1:], ci_prob)
    unknown = blank[:, None] | np.isnan(gone)
    for values in (gone, gone_low, gone_high):
        values[unknown] = np.nan

    reliable = fit.info.reliable
    status = _status(fit, batch, np.where(decided, days, 0.0), refused, decided & batch.outside[:, None], reliable)
    status[churned] = "already_churned"
    outside = np.repeat(batch.outside[:, None], len(h), 1)
    no_return_status = _status(fit, batch, until[:, 1:], unknown, outside, reliable)
    part = RiskColumns(
        batch.customer_id, reached, churn, lower, upper, status, gone, gone_low, gone_high, no_return_status,
        fit.new_group(batch), batch.levels,
    )  # fmt: skip
    return part, silent


def _summary(draws: FloatArray, ci_prob: float) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Mean and equal-tailed bounds over the first axis; a model without uncertainty has NaN bounds."""
    last = np.ascontiguousarray(np.moveaxis(draws, 0, -1))  # so that the order of summation knows no batch size
    mean = last.mean(axis=-1)
    if len(draws) == 1:
        return mean, np.full_like(mean, np.nan), np.full_like(mean, np.nan)
    tail = (1 - ci_prob) / 2
    low, high = np.quantile(last, [tail, 1 - tail], axis=-1)
    return mean, low, high


def _status(
    fit: SurvivalFit, batch: OpenSpells, needed: FloatArray, refused: np.ndarray, outside: np.ndarray, reliable: bool
) -> StrArray:
    thin = (fit.n_at_risk(needed.ravel()).reshape(needed.shape) < _SUPPORT) & (needed > 0)
    status = np.where(thin | outside, "extrapolated", "supported").astype(object)
    if not reliable:
        status[needed > 0] = "unreliable"
    status[refused] = "refused"
    assert status.shape == (len(batch), needed.shape[1])  # noqa: S101 - one per customer and horizon
    return status


class _Sums:
    """Adds up possible futures: per draw, chance decides each customer once; a new group's effect is shared."""

    def __init__(self, fit: SurvivalFit, horizons: tuple[float, ...], index: np.ndarray, rng: int) -> None:
        self.fit, self.rng, self.horizons, self.index, self.blocks = fit, rng, np.asarray(horizons), index, 0
        self.n_futures = len(index) if len(index) > 1 else _POINT_FUTURES
        self.days = fit.schema.churn.days
        self.counts: dict[str, dict[str, np.ndarray]] = {name: {} for name in ("", *_column_names(fit))}

    def add(self, batch: OpenSpells, part: RiskColumns, silent: FloatArray) -> None:
        """Draw the futures of one batch and add them to every column's levels."""
        silent = self._joint(batch, silent)
        happens = np.empty((self.n_futures, len(batch)), bool)
        for start in range(0, len(batch), _BLOCK):
            stream = np.random.Generator(np.random.Philox(np.random.SeedSequence(self.rng, spawn_key=(self.blocks,))))
            chunk = slice(start, start + _BLOCK)
            happens[:, chunk] = stream.random((self.n_futures, _BLOCK))[:, : len(batch) - start] < silent[:, chunk]
            self.blocks += 1
        within = counted_customers(part, self.days)[:, None] & (part.silence[:, None] + self.horizons >= self.days)
        for name, levels in zip(("", *_column_names(self.fit)), (None, *batch.levels), strict=True):
            if name in self.counts:
                self._add_column(name, levels, happens, within)

    def _joint(self, batch: OpenSpells, silent: FloatArray) -> FloatArray:
        """Survival with one effect for all customers of a new group: what is unknown of it is unknown of them all."""
        new = np.flatnonzero(part_of_new_group(self.fit, batch))
        if not len(new):
            return silent
        rows = batch.take(new)
        names = self.fit.new_group_name(rows)
        quantile = np.empty((len(self.index), len(new)))
        for name in sorted(set(names)):
            key = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")
            stream = np.random.default_rng(np.random.SeedSequence(self.rng, spawn_key=(key,)))
            quantile[:, names == name] = stream.random((len(self.index), 1))
        until = np.maximum(rows.reached, self.days)[:, None]
        joint = silent.copy()
        for start in range(0, len(new), _NEW_AT_ONCE):
            some = slice(start, start + _NEW_AT_ONCE)
            answer = self.fit.joint_survival(
                rows.take(np.arange(len(new))[some]), until[some], quantile[:, some], draws=self.index
            )
            joint[:, new[some]] = answer[:, :, 0]
        return joint

    def _add_column(self, name: str, levels: StrArray | None, happens: np.ndarray, within: np.ndarray) -> None:
        labels = np.full(len(within), "all", dtype=object) if levels is None else levels
        for level in sorted(set(labels)):
            here = labels == level
            futures = happens[:, here]
            counts = np.column_stack([futures[:, inside].sum(axis=1) for inside in within[here].T])
            self.counts[name][level] = self.counts[name].get(level, 0) + counts
        if len(self.counts[name]) > _MOST_LEVELS:
            del self.counts[name]

    def totals(self, columns: RiskColumns) -> dict[str, Totals]:
        """Levels in alphabetical order; expectations from the customers' own probabilities."""
        churned = columns.silence >= self.days
        counted = counted_customers(columns, self.days)
        found = {}
        for name, levels in zip(("", *_column_names(self.fit)), (None, *columns.levels), strict=True):
            if name not in self.counts:
                continue
            labels = np.full(len(churned), "all", dtype=object) if levels is None else levels
            names = tuple(sorted(self.counts[name]))
            here = [labels == level for level in names]
            found[name] = Totals(
                names,
                np.stack([self.counts[name][level] for level in names], axis=1),
                np.stack([columns.churn[mask & counted].sum(axis=0) for mask in here]),
                np.array([(mask & counted).sum() for mask in here]),
                np.array([(mask & churned).sum() for mask in here]),
                np.array([(mask & ~counted & ~churned).sum() for mask in here]),
            )
        return found


def _column_names(fit: SurvivalFit) -> tuple[str, ...]:
    return tuple(column.name for column in fit.schema.columns)


def part_of_new_group(fit: SurvivalFit, batch: OpenSpells) -> BoolArray:
    """Customers of a group never seen whose risk can be told."""
    told: BoolArray = ~batch.unknown & ~fit.unseen(batch) & (batch.reached < fit.schema.churn.days)
    return fit.new_group(batch) & told


def counted_customers(columns: RiskColumns, days: float) -> BoolArray:
    """Customers who are active and whose risk was told."""
    told: BoolArray = (columns.status != "refused").all(axis=1)
    return told & (columns.silence < days)


def churn_draws(table: RiskTable, customer_ids: Sequence[str]) -> xr.DataArray:
    """Posterior draws of the churn probability; see :meth:`RiskTable.draws`."""
    import xarray as xr

    wanted = list(dict.fromkeys(customer_ids))
    known = set(table.columns.customer_id)
    unknown = [name for name in wanted if name not in known]
    if unknown or isinstance(customer_ids, str):
        raise ArgumentError(
            f"{len(unknown):,} of {len(wanted):,} customers are not at risk at {table.spells.window.end}: "
            f"{', '.join(map(repr, unknown[:2]))}.",
            hint='ids are text, as in table.frame(): draws(["12347"]).',
        )
    fit, days, h = table.fit, table.spells.churn.days, np.asarray(table.horizon)
    ids, blocks = [], []
    for batch in OpenSpells.batches(table.spells, fit.schema, size=_BLOCK, only=wanted):
        until = np.maximum(batch.reached, days)[:, None]
        silent = fit.conditional_survival(batch, until, draws=table.draw_index)
        silent = np.where((batch.unknown | fit.unseen(batch))[None, :, None], np.nan, silent)
        silent = np.where((batch.reached >= days)[None, :, None], 1.0, silent)
        blocks.append(np.where(batch.reached[:, None] + h >= days, silent, 0.0))
        ids.append(batch.customer_id)
    return xr.DataArray(
        np.concatenate(blocks, axis=1),
        dims=("draw", "customer", "horizon"),
        coords={"customer": np.concatenate(ids), "horizon": h},
        name="churn_probability",
    )
