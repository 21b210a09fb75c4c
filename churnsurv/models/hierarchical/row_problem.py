"""Stretches of spells bound to a model: a baseline in continuous time, or numbers that enter as numbers."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from churnsurv._typing import BoolArray, FloatArray, IntArray
from churnsurv.errors import ModelSupportError
from churnsurv.hazards.algebra import exposure_by_period
from churnsurv.models.base import FitInfo
from churnsurv.models.cox_rows import check_rows, customers, share_of_spell
from churnsurv.models.design import Design
from churnsurv.models.formula import NUMBER
from churnsurv.models.hierarchical.baselines import BASELINES, POISSON
from churnsurv.models.hierarchical.binding import Rows, default_priors, linear_of, posterior_of, structure_of
from churnsurv.models.hierarchical.cell_problem import shared_logit
from churnsurv.models.hierarchical.fused import FusedRows
from churnsurv.models.hierarchical.likelihood import Likelihood
from churnsurv.models.hierarchical.pieces import HAZARD
from churnsurv.models.hierarchical.priors import resolve_priors
from churnsurv.models.hierarchical.problem import Problem, Terms, Totals
from churnsurv.models.hierarchical.rows import ParametricRows, centring_time
from churnsurv.models.hierarchical.units import UnitLikelihood, Units
from churnsurv.models.weibull_rows import check_times

if TYPE_CHECKING:
    from churnsurv.models.hierarchical.model import HierarchicalModel
    from churnsurv.tables.episodes import Episodes

_MANY_ROWS = 100_000


@dataclass(frozen=True, eq=False)
class Pieces:
    """Rows of the likelihood, cut out of episodes; arrays of shape (n,).

    Parameters
    ----------
    of : array of int
        Episode of each row.
    start, stop : array
        Days on the clock.
    event : array
        1 where the row ends with an event whose time is known.
    window : array of bool
        The event fell somewhere in the row.
    before : array of bool
        Time before late entry: survived, and no exposure.
    period : array of int
        Period, where rows are cut at period edges.
    """

    of: IntArray
    start: FloatArray
    stop: FloatArray
    event: FloatArray
    window: BoolArray
    before: BoolArray
    period: IntArray

    def take(self, some: IntArray | BoolArray) -> Pieces:
        """Keep some rows."""
        return Pieces(*(getattr(self, name)[some] for name in self.__dataclass_fields__))


def build_row_problem(model: HierarchicalModel, episodes: Episodes) -> Problem:
    """Bind a model to episodes.

    Raises
    ------
    EmptyDataError, NoEventsError, ArgumentError, FormulaError, MissingValueError, ModelSupportError, PriorError
        By the fault found.
    """
    check_times(episodes)
    cluster = customers(episodes.customer_id)
    check_rows(episodes, cluster)
    rows = cut(model, episodes, cluster)
    terms = _terms(model, episodes, cluster)
    baseline = BASELINES.get(model.baseline, POISSON)
    exact = np.asarray(episodes.event > 0, np.float64)
    t0 = centring_time(episodes.stop, exact, episodes.weight) if model.baseline in BASELINES else 1.0
    covariates = Rows(
        episodes.schema,
        episodes.codes[rows.of],
        tuple(None if value is None else value[rows.of] for value in episodes.values),
        rows.period,
        np.where(rows.before, 0.0, rows.stop - rows.start),
    )
    structure = structure_of(model, covariates, terms, t0)
    names = ["coef", *(piece.name for piece in structure.pieces)]
    weight = None if episodes.weight is None else np.asarray(episodes.weight, np.float64)[rows.of]
    intercept = "intercept" if baseline.has_intercept else None
    level = POISSON is baseline
    hazards = ParametricRows(
        baseline,
        np.zeros_like(rows.start) if level else rows.start,
        rows.stop - rows.start if level else rows.stop,
        rows.event,
        linear_of(structure, covariates, HAZARD, intercept=intercept, names=names),
        tuple(linear_of(structure, covariates, name, intercept=name, names=names) for name in baseline.shapes),
        t0,
        weight,
        rows.window if rows.window.any() else None,
    )
    n_events = float(np.sum(exact if episodes.weight is None else exact * episodes.weight))
    exposure = float(np.sum((episodes.stop - episodes.start) * (1.0 if episodes.weight is None else episodes.weight)))
    log_rate = float(np.log(t0 * n_events / exposure))
    priors = resolve_priors(default_priors(model, structure, log_rate), model.priors)
    likelihood: Likelihood = FusedRows(hazards, cluster[rows.of], int(cluster.max()) + 1, _threads(len(rows.of)))
    if model.needs_customers:
        units = units_of(model, episodes, rows, cluster)
        cured = shared_logit(structure, len(units)) if model.cure else None
        likelihood = UnitLikelihood(hazards, units, cured)
    start = np.zeros(structure.layout.n_fixed)
    if intercept:
        start[0] = log_rate
    ended = rows.event + rows.window
    totals = Totals(covariates.codes, covariates.values, ended, covariates.exposure)
    return Problem(posterior_of(likelihood, structure, priors), structure, priors, start, totals)


def _threads(n_rows: int) -> int:
    """Threads that are worth their while."""
    return min(os.cpu_count() or 1, 8) if n_rows >= _MANY_ROWS else 1


def _terms(model: HierarchicalModel, episodes: Episodes, cluster: IntArray) -> Terms:
    """Terms of the formula; numbers in units of their standard deviation, from their mean."""
    design = Design.bind(model.formula, episodes, drop=model.on_bad == "drop")
    x = design.matrix(episodes.codes, episodes.values)
    share = share_of_spell(episodes, cluster) * (1.0 if episodes.weight is None else episodes.weight)
    share = share / share.sum()
    numeric = np.array([any(level == NUMBER for _, level in term.factors) for term in design.effects.terms], bool)
    centre = np.where(numeric, share @ x, 0.0)
    spread = np.sqrt(share @ (x - centre) ** 2)
    return Terms(design.effects, design.numbers, centre, np.where(numeric, spread, 1.0))


def cut(model: HierarchicalModel, episodes: Episodes, cluster: IntArray) -> Pieces:
    """Cut episodes where an event's window begins, at period edges for a piecewise baseline, and add late beginnings."""
    n = len(episodes.start)
    start, stop = np.asarray(episodes.start, float), np.asarray(episodes.stop, float)
    event, nothing = (episodes.event > 0).astype(float), np.zeros(n, bool)
    whole = Pieces(np.arange(n), start, stop, event, nothing, nothing, np.zeros(n, np.int64))
    if model.rounded is not None:
        whole = _with_windows(whole, model.rounded)
    if model.needs_customers:
        whole = _with_beginnings(whole, episodes, cluster)
    return _by_period(whole, np.asarray(episodes.schema.breaks)) if model.baseline == "piecewise" else whole


def _with_windows(rows: Pieces, rounded: float) -> Pieces:
    """An event that is known to a unit of time: sure time up to the unit's start, and the unit as a window."""
    ended = rows.event > 0
    split = np.where(ended, np.maximum(rows.start, rows.stop - rounded), rows.stop)
    sure = Pieces(rows.of, rows.start, split, np.zeros_like(rows.event), rows.window, rows.before, rows.period).take(
        split > rows.start
    )
    window = Pieces(rows.of, split, rows.stop, np.zeros_like(rows.event), ended, rows.before, rows.period).take(ended)
    return _joined(sure, window)


def _with_beginnings(rows: Pieces, episodes: Episodes, cluster: IntArray) -> Pieces:
    """Time before late entry, with the covariates at entry."""
    start = np.asarray(episodes.start, float)
    first = np.ones(len(start), bool)
    first[1:] = (np.diff(cluster) != 0) | (np.diff(episodes.spell) != 0)
    late = np.flatnonzero(first & (start > 0))
    zero = np.zeros(len(late))
    no, yes = np.zeros(len(late), bool), np.ones(len(late), bool)
    return _joined(rows, Pieces(late, zero, start[late], zero, no, yes, np.zeros(len(late), np.int64)))


def _by_period(rows: Pieces, breaks: FloatArray) -> Pieces:
    """Rows cut at period edges; what lies beyond the last one says nothing about the model."""
    days = exposure_by_period(
        np.minimum(rows.stop, breaks[-1]), breaks=breaks, entry=np.minimum(rows.start, breaks[-1])
    )
    row, period = np.nonzero(days)
    start, stop = np.maximum(rows.start[row], breaks[period]), np.minimum(rows.stop[row], breaks[period + 1])
    last = rows.stop[row] <= breaks[period + 1]
    if rows.window.any() and np.any(rows.window[row] & ~last):
        raise ModelSupportError(
            "some windows of events lie across a period edge.",
            hint="use breaks that are multiples of rounded=, or a baseline in continuous time.",
        )
    return Pieces(rows.of[row], start, stop, rows.event[row] * last, rows.window[row], rows.before[row], period)


def _joined(first: Pieces, second: Pieces) -> Pieces:
    return Pieces(
        *(np.concatenate([getattr(first, name), getattr(second, name)]) for name in first.__dataclass_fields__)
    )


def units_of(model: HierarchicalModel, episodes: Episodes, rows: Pieces, cluster: IntArray) -> Units:
    """Customers as units of rows.

    Raises
    ------
    ModelSupportError
        If a customer has several events in windows, or weights that differ between her rows.
    """
    n_units, owner = int(cluster.max()) + 1, cluster[rows.of]
    immune = bool(episodes.schema.churn.on_tenure)
    exact = np.bincount(owner, rows.event, n_units).astype(np.int64)
    windows = np.bincount(owner, rows.window, n_units).astype(np.int64)
    last_spell = np.full(n_units, -1)
    np.maximum.at(last_spell, cluster, episodes.spell)
    in_last = episodes.spell == last_spell[cluster]
    ended = np.bincount(cluster, (episodes.event > 0) & in_last, n_units) > 0
    n_spells = np.bincount(np.unique(np.column_stack([cluster, episodes.spell]), axis=0)[:, 0], minlength=n_units)
    open_ = (exact + windows == 0) if immune else ~ended
    _check_windows(model, windows, open_)
    doubtful = rows.window.copy()
    if model.cure:
        doubtful |= open_[owner] & (immune | (in_last[rows.of] & ~rows.before))
    kind = np.where(windows > 0, 2, open_ & model.cure).astype(np.int8)
    followed = n_spells - 1 + ended
    alive = (~open_).astype(np.int64) if immune else followed
    weight = _unit_weights(episodes, cluster, n_units)
    return Units(
        _incidence(owner, ~doubtful, n_units),
        _incidence(owner, doubtful, n_units) if doubtful.any() else None,
        _incidence(owner, rows.before, n_units) if rows.before.any() else None,
        kind,
        exact,
        alive if model.cure else np.zeros_like(alive),
        _incidence(owner, rows.event > 0, n_units),
        immune,
        weight,
    )


def _check_windows(model: HierarchicalModel, windows: IntArray, open_: BoolArray) -> None:
    many = np.flatnonzero(windows > 1)
    both = np.flatnonzero((windows > 0) & open_) if model.cure else many[:0]
    if len(many) or len(both):
        what = "several events" if len(many) else "an event and an open spell under cure"
        raise ModelSupportError(
            f"{len(many) or len(both):,} of {len(windows):,} customers have {what}, known to a unit of time only.",
            consequence="With a rhythm or a fate of their own, that sum has no closed form of few terms.",
            hint='leave rounded= out, or fit on cells: HierarchicalModel(baseline="piecewise"), which count half a unit.',
        )


def _unit_weights(episodes: Episodes, cluster: IntArray, n_units: int) -> FloatArray | None:
    if episodes.weight is None:
        return None
    weight = np.zeros(n_units)
    weight[cluster] = episodes.weight
    if np.any(weight[cluster] != episodes.weight):
        raise ModelSupportError(
            "some customers have rows of different weight.",
            consequence="What is each customer's own cannot count twice for one half of her.",
            hint="weight whole customers, or leave frailty and cure out.",
        )
    return weight


def _incidence(owner: IntArray, some: BoolArray, n_units: int) -> sparse.csr_array:
    """Whose rows they are, shape (n_units, n_rows)."""
    rows = np.flatnonzero(some)
    return sparse.csr_array((np.ones(len(rows)), (owner[rows], rows)), shape=(n_units, len(owner)))


def at_risk(episodes: Episodes) -> IntArray:
    """Spells at risk at the end of each period of the schema."""
    breaks = np.asarray(episodes.schema.breaks)[1:]
    starts, stops = np.sort(episodes.start), np.sort(episodes.stop)
    return np.searchsorted(starts, breaks, "left") - np.searchsorted(stops, breaks, "left")


def episodes_info(episodes: Episodes, *, independent: bool) -> FitInfo:
    """What a fit on episodes has seen."""
    weight = 1.0 if episodes.weight is None else episodes.weight
    digest = hashlib.sha256(repr(episodes.schema.to_json()).encode())
    for name in ("start", "stop", "event", "codes"):
        digest.update(np.ascontiguousarray(getattr(episodes, name)).tobytes())
    for value in (*episodes.values, episodes.weight):
        digest.update(b"" if value is None else np.ascontiguousarray(value).tobytes())
    return FitInfo(
        status="ok",
        n_spells=episodes.n_spells,
        n_events=int(np.sum(episodes.event > 0)),
        exposure=float(np.sum((episodes.stop - episodes.start) * weight)),
        independent_gaps=independent,
        fingerprint=digest.hexdigest(),
        cause=episodes.cause or "",
    )
