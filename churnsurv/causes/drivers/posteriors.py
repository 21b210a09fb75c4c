"""Contributions of the terms of a hierarchical fit, draw by draw: formula, groups, and what a customer's own past says."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from churnsurv._typing import FloatArray, StrArray
from churnsurv.causes.drivers.baselines import Baseline, DriverBaseline, read_baseline
from churnsurv.causes.drivers.normals import mean_unknown
from churnsurv.causes.drivers.pieces import FixedPiece, FrailtyPiece, GroupPiece, Piece
from churnsurv.causes.drivers.rows import joined_texts, level_texts
from churnsurv.causes.drivers.terms import DriverTerms, Told
from churnsurv.errors import ArgumentError
from churnsurv.models.base import INDEPENDENT_GAPS, PatternRows
from churnsurv.models.hierarchical.predictor import Predictor
from churnsurv.models.hierarchical.prospects import past_of

if TYPE_CHECKING:
    from churnsurv.models.hierarchical.fit import HierarchicalFit

_FLOATS = 4_000_000
"""Draws times rows that are held at a time in one array."""

_CUSTOMERS = 4096
"""Customers whose frailties are drawn at a time."""

_MEAN = "the mean over the time at risk that was learnt from"
_GROUPS = ", groups at their average level"


@dataclass(frozen=True, eq=False)
class PosteriorDrivers:
    """Terms of a hierarchical fit.

    Parameters
    ----------
    fit : HierarchicalFit
        The fit.
    terms : DriverTerms
        Fixed effects, and the baseline.
    fixed : tuple of FixedPiece
        Draws of each term of the formula.
    groups : tuple of GroupPiece
        Draws of each group.
    index : array of int
        Draws that are used.
    flat : mapping of str to array
        All draws by parameter, chains one after another.
    baseline : str
        Whom customers are compared with, in words.
    rng : numpy.random.Generator
        Source of frailties, used up as customers are told.
    """

    fit: HierarchicalFit
    terms: DriverTerms
    fixed: tuple[FixedPiece, ...]
    groups: tuple[GroupPiece, ...]
    index: np.ndarray[Any, np.dtype[np.int64]]
    flat: dict[str, FloatArray]
    baseline: str
    rng: np.random.Generator

    scale = "log hazard"
    bounded = True

    @property
    def frail(self) -> bool:
        """Whether a customer's own past is a term."""
        return self.fit.model.frailty is not None

    @property
    def names(self) -> tuple[str, ...]:
        """Terms: those of the formula, groups, and the frailty of the customer."""
        groups = tuple(f"{piece.grouping.name} (group)" for piece in self.groups)
        return (*self.terms.names, *groups, *(("customer (frailty)",) if self.frail else ()))

    @property
    def caveats(self) -> tuple[str, ...]:
        """What must be read beside every number."""
        fit, found = self.fit, []
        if fit.info.method == "laplace":
            found.append(f"draws are those of an approximation (Pareto-k̂ {fit.info.pareto_k:.2f}).")
        if fit.info.independent_gaps and not fit.schema.churn.on_tenure:
            found.append(f"{INDEPENDENT_GAPS}.")
        if fit.model.shape_groups:
            names = ", ".join(fit.model.shape_groups)
            found.append(f"how the baseline of {names} differs over time is in no term.")
        if fit.model.calendar:
            found.append("the calendar month is the same for everyone and in no term.")
        if fit.model.cure:
            found.append("contributions are those of customers who are still within reach.")
        return tuple(found)

    def texts(self, rows: PatternRows) -> StrArray:
        """Level or number of each row in each term, shape (n, n_terms)."""
        columns = [piece.grouping.columns for piece in self.groups]
        parts = [self.terms.texts(rows)]
        parts += [joined_texts([level_texts(rows, k) for k in some])[:, None] for some in columns]
        if self.frail:
            history: Any = getattr(rows, "history", None)
            events = np.zeros(len(rows.codes), np.int64)
            if history is not None and len(history):
                events = np.bincount(history.place, self._ended(history), len(rows.codes)).astype(np.int64)
            words = [f"{n} earlier event{'' if n == 1 else 's'}" for n in events.tolist()]
            parts.append(np.array(words, dtype=object)[:, None])
        return np.concatenate(parts, axis=1)

    def _ended(self, history: Any) -> FloatArray:
        """Rows of a history that end with the event of the fit."""
        cause = self.fit.info.cause
        ended = history.event == self.fit.schema.causes.index(cause) + 1 if cause else history.event > 0
        return np.asarray(ended, np.float64)

    def told(self, rows: PatternRows, ci_prob: float) -> Told:
        """Contributions of n rows with bounds; NaN for rows without a prediction."""
        parts = [self._told_block(block, ci_prob) for block in self._blocks(rows)]
        return Told(*(np.concatenate([getattr(part, name) for part in parts]) for name in ("value", "lower", "upper")))

    def draws(self, rows: PatternRows) -> FloatArray:
        """Contributions by draw, shape (n_draws, n, n_terms)."""
        found = []
        for block in self._blocks(rows):
            good = ~self.fit.unseen(block)
            pieces, keys = self._pieces(block)
            whole = np.full((len(self.index), len(good), len(pieces)), np.nan)
            for k, (piece, key) in enumerate(zip(pieces, keys, strict=True)):
                whole[:, good, k] = piece.draws(key[good])
            found.append(whole)
        return np.concatenate(found, axis=1)

    def _blocks(self, rows: PatternRows) -> Iterator[PatternRows]:
        take: Any = getattr(rows, "take", None)
        if not self.frail or take is None:
            yield rows
            return
        for start in range(0, len(rows.codes), _CUSTOMERS):
            yield take(np.arange(start, min(start + _CUSTOMERS, len(rows.codes))))

    def _pieces(self, rows: PatternRows) -> tuple[list[Piece], list[FloatArray]]:
        """Terms, and what of each row each of them depends on."""
        difference = self.terms.difference(rows)
        pieces: list[Piece] = [*self.fixed, *self.groups]
        keys = [difference[:, at] for at in self.terms.places] + [piece.keys(rows) for piece in self.groups]
        if self.frail:
            pieces.append(self._frailty(rows))
            keys.append(np.arange(len(difference), dtype=np.float64)[:, None])
        return pieces, keys

    def _frailty(self, rows: Any) -> FrailtyPiece:
        model, info, fit = self.fit.model, self.fit.info, self.fit
        if not hasattr(rows, "reached"):
            raise ArgumentError(
                f"the fit tells customers apart by what they did, and {type(rows).__name__} do not say what is behind them.",
                column="customers",
                hint="pass the SpellTable, or OpenSpells.batches(spells, fit.schema, history=True).",
            )
        predictor = Predictor(fit.structure, fit.schema, model.baseline, self.flat, fit.seed)
        past = past_of(
            predictor, rows, self.index, info.cause, use=True, on_cells=info.n_cells > 0, rounded=model.rounded
        )
        variance = self.flat["frailty_sd"][self.index, None] ** 2
        return FrailtyPiece.drawn(variance, past.whole[..., 0], past.events[..., 0], self.rng)

    def _told_block(self, rows: PatternRows, ci_prob: float) -> Told:
        good = ~self.fit.unseen(rows)
        pieces, keys = self._pieces(rows)
        kept = [key[good] for key in keys]
        n, tails = int(good.sum()), (0.5 * (1.0 - ci_prob), 0.5 * (1.0 + ci_prob))
        value, lower, upper = (np.zeros((n, len(pieces) + 1)) for _ in range(3))
        for k, (piece, key) in enumerate(zip(pieces, kept, strict=True)):
            value[:, k], lower[:, k], upper[:, k] = self._summary([piece], [key], tails)
        if pieces and n:
            _, lower[:, -1], upper[:, -1] = self._summary(pieces, kept, tails)
        value[:, -1] = value[:, :-1].sum(axis=1)
        return Told(value, lower, upper).spread(good)

    def _summary(
        self, pieces: Sequence[Piece], keys: Sequence[FloatArray], tails: tuple[float, float]
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Mean and equal-tailed bounds of a sum of terms, worked out once for rows that agree in them."""
        ends = np.cumsum([0, *(key.shape[1] for key in keys)])
        seen, where = np.unique(np.concatenate(keys, axis=1), axis=0, return_inverse=True)
        found, size = np.zeros((3, len(seen))), max(1, _FLOATS // len(self.index))
        for start in range(0, len(seen), size):
            some = slice(start, start + size)
            total = np.zeros((len(self.index), len(seen[some])))
            for piece, low, high in zip(pieces, ends[:-1], ends[1:], strict=True):
                own = seen[some, low:high]
                drawn = piece.draws(own)
                found[0, some] += piece.mean(own, drawn)
                total += drawn
            found[1:, some] = np.quantile(total, tails, axis=0)
        value, lower, upper = found[:, where.ravel()]
        return value, lower, upper


def posterior_drivers(
    fit: HierarchicalFit, baseline: Baseline, n_draws: int, rng: np.random.Generator
) -> PosteriorDrivers:
    """Terms of a hierarchical fit.

    Parameters
    ----------
    fit : HierarchicalFit
        The fit.
    baseline : "mean" or mapping
        Whom customers are compared with.
    n_draws : int
        Draws to use, evenly spaced among those of the fit.
    rng : numpy.random.Generator
        Source of the effects of new groups and of frailties.
    """
    effects, numbers = fit.effects, frozenset(fit.structure.terms.numbers)
    known = {k: set(levels) for k, levels in effects.known.items()}
    flat = _flat(fit)
    groups = [group for group in fit.structure.groups.values() if f"{group.name}_effect" in flat]
    for group in groups:
        for place, k in enumerate(group.columns):
            known[k] = known.get(k, set()) | set(group.codes[:, place].tolist())
    named = read_baseline(baseline, fit.schema, numbers, known)
    reference = named.columns_of(effects, lambda: _mean_columns(fit))
    terms = DriverTerms(fit.schema, effects, numbers, reference)
    index = np.unique(np.linspace(0, fit.n_draws - 1, min(n_draws, fit.n_draws)).round().astype(np.int64))
    coef = flat["coef"][index] if len(effects.terms) else np.zeros((len(index), 0))
    labels = dict(zip(fit.structure.terms.labels, reference.tolist(), strict=True))
    some = {name: values[index] for name, values in flat.items()}
    pieces = tuple(_group(fit, group.name, named, labels, some, rng) for group in groups)
    averaged = any(not set(group.columns) <= named.named for group in groups)
    words = named.describe(_MEAN, terms.columns) + (_GROUPS if averaged else "")
    fixed = tuple(FixedPiece(coef[:, at]) for at in terms.places)
    return PosteriorDrivers(fit, terms, fixed, pieces, index, flat, words, rng)


def _flat(fit: HierarchicalFit) -> dict[str, FloatArray]:
    dataset = fit.posterior["posterior"].to_dataset()
    return {
        str(name): np.ascontiguousarray(values.values.reshape(-1, *values.shape[2:]))
        for name, values in dataset.data_vars.items()
    }


def _mean_columns(fit: HierarchicalFit) -> FloatArray:
    """Mean of the design's columns over the time at risk."""
    if fit.info.n_cells:  # columns of cells are all levels, so that the totals which every fit holds tell it
        return np.asarray(fit.counts.term_exposure / fit.info.exposure)
    if fit.problem is None:
        raise mean_unknown("training rows")
    totals = fit.problem.totals
    rows: Any = getattr(fit.problem.density.likelihood, "rows", None)
    share = totals.exposure * getattr(rows, "weights", 1.0)
    return np.asarray(share @ fit.effects.matrix(totals.codes, totals.values) / share.sum())


def _group(
    fit: HierarchicalFit,
    name: str,
    named: DriverBaseline,
    labels: dict[str, float],
    flat: dict[str, FloatArray],
    rng: np.random.Generator,
) -> GroupPiece:
    """A group, with what its level at the baseline adds; nothing at the average level."""
    grouping, n_terms = fit.structure.groups[name], len(fit.structure.groups[name].terms)
    centre = fit.structure.units_of(name)[0]
    effect = flat[f"{name}_effect"]
    piece = GroupPiece(
        grouping=grouping,
        centre=centre,
        effect=effect.reshape(*effect.shape[:2], n_terms),
        sd=flat[f"{name}_effect_sd"].reshape(len(effect), n_terms),
        correlation=flat.get(f"{name}_effect_correlation", np.zeros((len(effect), 0))),
        noise=rng.standard_normal(len(effect)),
        reference=np.zeros(len(effect)),
    )
    if not named.is_whole(grouping.columns, name):
        return piece
    slopes = [labels.get(label, 0.0) for label in grouping.terms[1:]]
    key = np.concatenate([grouping.positions(named.codes), np.array([1.0, *slopes]) - centre])[None]
    return replace(piece, reference=piece.draws(key)[:, 0])
