"""Baseline of a Cox model: one step function per stratum, and its uncertainty in a bounded number of blocks."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from churnsurv._typing import BoolArray, FloatArray, IntArray
from churnsurv.models.hierarchical.prediction import log_multiplier
from churnsurv.models.support import Support

if TYPE_CHECKING:
    import pandas as pd

MOST_BLOCKS = 8192
"""Blocks of increments that have noise of their own, all strata together; more only where there are more strata. In
memory 64 kB a draw, made when a prediction is first asked for, and not written to files."""

_DRAWS_AT_ONCE = 64
"""Draws whose noise is made together."""

NO_STRATUM = -1
"""Stratum of a row whose combination of levels had no event when the fit was made."""


@dataclass(frozen=True, eq=False)
class Baseline:
    """Efron's cumulative hazard at the mean of the training rows, stratum after stratum.

    Parameters
    ----------
    labels : tuple of str
        Names of the strata; one empty name where there are none.
    offsets : array of shape (n_strata + 1,)
        Stratum s has steps ``offsets[s]:offsets[s + 1]``, at least one.
    times : array of shape (n_steps,)
        Days on the clock, increasing within a stratum.
    cumulative_hazard : array of shape (n_steps,)
        Up to and including each time.
    variance : array of shape (n_steps,)
        Of the cumulative hazard, were the coefficients known.
    n_at_risk : array of shape (n_steps,)
        At risk just before each time; weighted where rows carry weights.
    support : tuple of Support
        Spells at risk along the clock, of each stratum; the last time of each is the last time at which anybody was
        under observation.
    rounded : float
        Days before each time over which its rise is spread evenly, because events are known no better; 0 for steps.
    """

    labels: tuple[str, ...]
    offsets: IntArray
    times: FloatArray
    cumulative_hazard: FloatArray
    variance: FloatArray
    n_at_risk: FloatArray
    support: tuple[Support, ...]
    rounded: float = 0.0

    @property
    def n_strata(self) -> int:
        """Number of strata."""
        return len(self.labels)

    @cached_property
    def last(self) -> FloatArray:
        """Last time under observation, shape (n_strata,)."""
        return np.array([float(one.times[-1]) for one in self.support])

    @cached_property
    def first(self) -> FloatArray:
        """Time from which somebody was under observation, shape (n_strata,)."""
        return np.array([0.0 if one.n_at_risk[0] else float(one.times[0]) for one in self.support])

    def part(self, stratum: int) -> slice:
        """Steps of one stratum."""
        return slice(int(self.offsets[stratum]), int(self.offsets[stratum + 1]))

    def steps_taken(self, stratum: IntArray, times: FloatArray) -> IntArray:
        """Position in :attr:`times` of the last step at or before each moment, ``offsets[s] - 1`` before the first.

        Parameters
        ----------
        stratum : array of shape (n,)
            Stratum of each row; rows without one get the first.
        times : array of shape (n, k)
            Days on the clock.
        """
        taken = np.empty(times.shape, np.int64)
        for s in range(self.n_strata):
            here = np.maximum(stratum, 0) == s
            if here.any():
                taken[here] = np.searchsorted(self.times[self.part(s)], times[here], side="right") + self.offsets[s] - 1
        return taken

    def beyond(self, stratum: IntArray, times: FloatArray) -> BoolArray:
        """Where nobody of the row's stratum was under observation any more, shape of ``times``; all of no stratum."""
        late: BoolArray = (times > self.last[np.maximum(stratum, 0)][:, None]) | (stratum == NO_STRATUM)[:, None]
        return late

    def frame(self) -> pd.DataFrame:
        """As a table: ``stratum``, ``time``, ``n_at_risk``, ``hazard``, ``cumulative_hazard``, ``survival``."""
        import pandas as pd

        stratum = np.repeat(np.arange(self.n_strata), np.diff(self.offsets))
        return pd.DataFrame(
            {
                "stratum": np.asarray(self.labels, dtype=object)[stratum],
                "time": self.times,
                "n_at_risk": self.n_at_risk,
                "hazard": self.increments,
                "cumulative_hazard": self.cumulative_hazard,
                "survival": np.exp(-self.cumulative_hazard),
            }
        )

    @cached_property
    def increments(self) -> FloatArray:
        """Rise at each step, shape (n_steps,)."""
        return _rises(self.cumulative_hazard, self.offsets)

    @cached_property
    def variance_of_steps(self) -> FloatArray:
        """Variance of each rise, shape (n_steps,)."""
        return _rises(self.variance, self.offsets)


def _rises(values: FloatArray, offsets: IntArray) -> FloatArray:
    """Differences of what was summed up from zero within each part."""
    rises = np.diff(values, prepend=0.0)
    rises[offsets[:-1]] = values[offsets[:-1]]
    return rises


@dataclass(frozen=True, eq=False)
class Blocks:
    """Neighbouring increments of one stratum that share their noise.

    Parameters
    ----------
    offsets : array of shape (n_blocks + 1,)
        Block b has steps ``offsets[b]:offsets[b + 1]``.
    first : array of shape (n_strata + 1,)
        Stratum s has blocks ``first[s]:first[s + 1]``.
    hazard : array of shape (n_blocks,)
        Sum of the block's increments, > 0.
    variance : array of shape (n_blocks,)
        Sum of the increments' variances.
    mean : array of shape (n_blocks, n_terms)
        Mean of the covariates at risk, weighted by the increments, from the centre: how the block moves with
        the coefficients.
    """

    offsets: IntArray
    first: IntArray
    hazard: FloatArray
    variance: FloatArray
    mean: FloatArray

    @classmethod
    def of(cls, baseline: Baseline, mean: FloatArray, most: int = MOST_BLOCKS) -> Blocks:
        """Cut every stratum into blocks, at most ``most`` in all: one a step as long as there are so few.

        Else a stratum with few steps keeps one a step, and the others are cut half by steps and half by time. Thin late
        days are then cut as finely as dense early ones: a horizon that covered a share s of a block would have s² of its
        variance, where s is due.

        Parameters
        ----------
        baseline : Baseline
            The steps.
        mean : array of shape (n_steps, n_terms)
            Mean of the covariates at risk at each step, from the centre.
        most : int
            Blocks in all; every stratum has one at least.
        """
        share = _shared_out(np.diff(baseline.offsets), most)
        edges = [
            start + _cuts(baseline.times[start:stop], k)
            for start, stop, k in zip(baseline.offsets[:-1], baseline.offsets[1:], share, strict=True)
        ]
        offsets = np.append(np.concatenate(edges), baseline.offsets[-1])
        rises, variances = baseline.increments, baseline.variance_of_steps
        hazard = np.add.reduceat(rises, offsets[:-1])
        weighted = np.add.reduceat(mean * rises[:, None], offsets[:-1], axis=0)
        return cls(
            offsets,
            np.concatenate([[0], np.cumsum([len(one) for one in edges])]).astype(np.int64),
            hazard,
            np.add.reduceat(variances, offsets[:-1]),
            weighted / hazard[:, None],
        )

    def __len__(self) -> int:
        """Number of blocks."""
        return len(self.hazard)

    @cached_property
    def shape(self) -> FloatArray:
        """Of the noise, shape (n_blocks,): the number of events behind a block."""
        # of a lone event it is 1 up to rounding, and the generator takes another road at 1 exactly
        return np.maximum(np.round(self.hazard**2 / self.variance, 6), 1e-6)

    def holding(self, step: IntArray) -> IntArray:
        """Block of each step."""
        return np.searchsorted(self.offsets, step, side="right") - 1


def _shared_out(steps: IntArray, most: int) -> IntArray:
    """Blocks of each stratum: its steps, up to a level that all share."""
    ordered = np.sort(steps)
    level = (most - (np.cumsum(ordered) - ordered)) / np.arange(len(steps), 0, -1)
    above = ordered > level
    share = np.minimum(steps, level[np.argmax(above)]) if above.any() else steps
    return np.maximum(share, 1).astype(np.int64)


def _cuts(times: FloatArray, n_blocks: int) -> IntArray:
    """Where the blocks of one stratum begin, half by steps and half by time."""
    n = len(times)
    if n_blocks >= n:
        return np.arange(n)
    place = np.arange(n) / n + (times - times[0]) / (times[-1] - times[0])
    block = np.floor(0.5 * place * n_blocks)
    return np.flatnonzero(np.diff(block, prepend=-1.0))


@dataclass(frozen=True, eq=False)
class Draws:
    """Coefficients and baseline, drawn together.

    Parameters
    ----------
    coef : array of shape (n_draws, n_terms)
        Coefficients.
    estimate : array of shape (n_terms,)
        What they were drawn around.
    blocks : Blocks
        Of the baseline.
    seed : int
        Of the baseline's noise, which follows from it: it is made when first needed, and never written.
    """

    coef: FloatArray
    estimate: FloatArray
    blocks: Blocks
    seed: int

    @classmethod
    def simulate(cls, coef: FloatArray, covariance: FloatArray, blocks: Blocks, n_draws: int, rng: int) -> Draws:
        r"""Draw from the large-sample distribution of the estimates.

        .. math:: \beta^* \sim \mathrm{N}(\hat\beta, V), \qquad
                  \Delta H^*_b = \Delta \hat H_b \, e^{-\bar x_b \cdot (\beta^* - \hat\beta)} \, g_b,
                  \qquad g_b \sim \mathrm{Gamma}

        with E g = 1 and var g the variance of the block over its squared hazard. To first order the variance of
        the cumulative hazard of a row is the one of Tsiatis [1]_ and of Therneau and Grambsch [2]_.

        Parameters
        ----------
        coef : array of shape (n_terms,)
            Estimate.
        covariance : array of shape (n_terms, n_terms)
            Of the estimate.
        blocks : Blocks
            Of the baseline.
        n_draws : int
            How many; one draw is the estimate itself.
        rng : int
            Seed.

        References
        ----------
        .. [1] Tsiatis, A. A. (1981). A large sample study of Cox's regression model. *Annals of Statistics* 9.
        .. [2] Therneau, T. M. and Grambsch, P. M. (2000). *Modeling Survival Data*, section 10.2.
        """
        if n_draws == 1:
            return cls(coef[None], coef, blocks, rng)
        stream = np.random.default_rng(np.random.SeedSequence(rng))
        away = log_multiplier(stream.standard_normal((n_draws, len(coef))), _root(covariance))
        return cls(coef + away, coef, blocks, rng)

    @property
    def multiplier(self) -> FloatArray:
        """What each block of the baseline is multiplied with, shape (n_draws, n_blocks)."""
        return np.concatenate(list(self._multipliers()))

    def _multipliers(self) -> Iterator[FloatArray]:
        """:attr:`multiplier`, some draws at a time."""
        if len(self.coef) == 1:
            yield np.ones((1, len(self.blocks)))
            return
        # numpy changes no number of this generator, in no version: a loaded fit has the noise of the one that was saved
        seed = np.random.SeedSequence(self.seed, spawn_key=(1,))
        stream = np.random.RandomState(np.random.Philox(seed))
        shape = self.blocks.shape
        for first in range(0, len(self.coef), _DRAWS_AT_ONCE):
            away = self.coef[first : first + _DRAWS_AT_ONCE] - self.estimate
            noise = stream.standard_gamma(shape, (len(away), len(shape))) / shape
            yield np.exp(-log_multiplier(away, self.blocks.mean)) * noise

    @cached_property
    def path(self) -> FloatArray:
        """Cumulative hazard at the edges of the blocks by draw, stratum after stratum, each from 0.

        Shape (n_draws, n_blocks + n_strata): block b of stratum s lies between b + s and b + s + 1.
        """
        blocks = self.blocks
        found = np.zeros((len(self.coef), len(blocks) + len(blocks.first) - 1))
        first = 0
        for multiplier in self._multipliers():
            rises = multiplier * blocks.hazard
            rows = found[first : first + len(rises)]
            for s, (start, stop) in enumerate(itertools.pairwise(blocks.first.tolist())):
                np.cumsum(rises[:, start:stop], axis=1, out=rows[:, start + s + 1 : stop + s + 1])
            first += len(rises)
        return found


def _root(covariance: FloatArray) -> FloatArray:
    """A matrix whose product with its transpose is the covariance, also where that is singular; it scales with units."""
    size = np.sqrt(np.diag(covariance))
    size = np.where(size > 0, size, 1.0)
    values, vectors = np.linalg.eigh(covariance / np.outer(size, size))
    turned = vectors * np.sqrt(np.maximum(values, 0.0))
    return np.asarray(size[:, None] * (turned @ vectors.T))


def hazard_between(
    baseline: Baseline,
    draws: Draws,
    stratum: IntArray,
    start: FloatArray,
    stop: FloatArray,
    *,
    picked: IntArray | None = None,
    without_events: bool = False,
) -> FloatArray:
    """Cumulative baseline hazard from start to stop by draw, shape (n_draws, n, k).

    Parameters
    ----------
    baseline : Baseline
        The step functions.
    draws : Draws
        Of them.
    stratum : array of shape (n,)
        Stratum of each row.
    start : array of shape (n, 1)
        Days on the clock.
    stop : array of shape (n, k)
        Days on the clock, at or after ``start``.
    picked : array of int, optional
        Draws to use; all by default.
    without_events : bool
        Give stretches without an event the hazard of :func:`_between_events` in place of 0.

    Returns
    -------
    array
        At least 0; NaN beyond the last time of the row's stratum.
    """
    index = np.arange(len(draws.coef)) if picked is None else picked
    rises = _at(baseline, draws, index, stratum, stop)
    rises -= _at(baseline, draws, index, stratum, start)
    np.maximum(rises, 0.0, out=rises)
    late = baseline.beyond(stratum, stop) | baseline.beyond(stratum, start)
    if without_events:
        gap = _share_of_gap(baseline, stratum, start, stop)
        short = ~late & (gap > 0)
        where, ends = np.repeat(stratum, stop.shape[1])[short.ravel()], stop[short]
        rises[:, short] = np.maximum(rises[:, short], _between_events(baseline, draws, index, where, ends, gap[short]))
    rises[:, late] = np.nan
    return rises


def _rise_of(draws: Draws, index: IntArray, stratum: IntArray, block: IntArray) -> tuple[FloatArray, FloatArray]:
    """Cumulative hazard ahead of each block by draw, and its rise over the block."""
    edge = (block + np.maximum(stratum, 0).reshape(-1, *[1] * (block.ndim - 1))).ravel()
    ahead = draws.path[np.ix_(index, edge)].reshape(len(index), *block.shape)
    return ahead, draws.path[np.ix_(index, edge + 1)].reshape(ahead.shape) - ahead


def _at(baseline: Baseline, draws: Draws, index: IntArray, stratum: IntArray, times: FloatArray) -> FloatArray:
    """Cumulative hazard up to and including each time by draw: whole blocks, then a share of the last."""
    blocks, first = draws.blocks, baseline.offsets[np.maximum(stratum, 0)][:, None]
    step = baseline.steps_taken(stratum, times)
    none = step < first
    step = np.maximum(step, first)
    block = blocks.holding(step)
    begins = blocks.offsets[:-1]
    before = baseline.cumulative_hazard[begins] - baseline.increments[begins]
    value, rise = _rise_of(draws, index, stratum, block)
    rise *= (baseline.cumulative_hazard[step] - before[block]) / blocks.hazard[block]
    value += rise
    value[:, none] = 0.0
    if baseline.rounded:
        coming, share = _begun(baseline, stratum, times)
        block = blocks.holding(coming)
        value += _rise_of(draws, index, stratum, block)[1] * (
            baseline.increments[coming] / blocks.hazard[block] * share
        )
    return value


def _begun(baseline: Baseline, stratum: IntArray, times: FloatArray) -> tuple[IntArray, FloatArray]:
    """The coming step, or the last, and the share of it that is over where rises are spread over the days before them."""
    end = baseline.offsets[np.maximum(stratum, 0) + 1][:, None]
    coming = baseline.steps_taken(stratum, times) + 1
    over, coming = coming >= end, np.minimum(coming, end - 1)
    if not baseline.rounded:
        return coming, np.zeros(times.shape)
    share = np.clip((times - baseline.times[coming]) / baseline.rounded + 1.0, 0.0, 1.0)
    share[over] = 0.0
    return coming, share


def _share_of_gap(baseline: Baseline, stratum: IntArray, start: FloatArray, stop: FloatArray) -> FloatArray:
    """Share of the days between two neighbouring events that a stretch within covers; 0 where it holds an event.

    The first gap opens when somebody is watched, the last one closes when nobody is any more. A gap that a rise is spread
    over from end to end is none.
    """
    own = np.maximum(stratum, 0)[:, None]
    taken = baseline.steps_taken(stratum, stop)
    coming = np.minimum(taken + 1, len(baseline.times) - 1)
    opens = np.where(taken < baseline.offsets[own], baseline.first[own], baseline.times[np.maximum(taken, 0)])
    ended = taken + 1 < baseline.offsets[own + 1]
    closes = np.where(ended, baseline.times[coming], baseline.last[own])
    longer = closes - opens > np.where(ended, baseline.rounded * (1.0 + 1e-6), 0.0)
    inside = longer & (baseline.steps_taken(stratum, start) == taken)
    share = (stop - start) / np.where(inside, closes - opens, 1.0)
    return np.where(inside, np.clip(share, 0.0, 1.0), 0.0)


def _between_events(
    baseline: Baseline, draws: Draws, index: IntArray, stratum: IntArray, stop: FloatArray, share: FloatArray
) -> FloatArray:
    r"""Hazard of stretches between two neighbouring events, by draw, shape (n_draws, n).

    The step function says 0 there, without an error. What is known is that n at risk went through a gap of w days
    without an event. With a flat prior [1]_ the hazard of the gap is E / n with E ~ Exp(1), and where a lone event ends it
    E is the one of the coming step. But the gap around a given day is longer than others, with n times its hazard
    Gamma(2), so that h days of it have unbiasedly the mean h / (w n), and as upper end 4.74 times that at 95 %. Their
    hazard is therefore drawn as :math:`E^2 / 2 \cdot h / (w n)`, of the same mean and with 4.49 for 4.74; and no larger
    than the coming step as it is drawn, so that no longer stretch has a smaller hazard. Before a step of many events E is
    that step's quantile. After the last event n is the number at the stretch's end.

    Parameters
    ----------
    baseline, draws : Baseline, Draws
        The step functions.
    index : array of int
        Draws to use.
    stratum, stop : array of shape (n,)
        Ends of stretches without a step in them.
    share : array of shape (n,)
        Of the gap.

    References
    ----------
    .. [1] Hanley, J. A. and Lippman-Hand, A. (1983). If nothing goes wrong, is everything all right? *JAMA* 249,
       1743–1745.
    """
    from scipy.special import gammaincc

    own = np.maximum(stratum, 0)
    taken = baseline.steps_taken(stratum, stop[:, None])[:, 0]
    step = np.minimum(taken + 1, baseline.offsets[own + 1] - 1)
    hazard, block = baseline.increments[step], draws.blocks.holding(step)
    events = np.maximum(hazard**2 / baseline.variance_of_steps[step], 1.0)
    drawn = _rise_of(draws, index, stratum, block)[1] / draws.blocks.hazard[block]
    shape = draws.blocks.shape[block]
    with np.errstate(divide="ignore"):  # far out in the tail, where the coming step is the smaller one
        lone = 0.5 * np.log(gammaincc(shape, shape * drawn)) ** 2 / events
    if len(draws.coef) == 1:
        lone = 1.0 / events[None]  # the estimate itself: the mean
    fewer, over = np.ones(len(stop)), taken == step
    for s in np.unique(own[over]):
        here, support = over & (own == s), baseline.support[s]
        fewer[here] = support.at(baseline.times[step[here]]) / np.maximum(support.at(stop[here]), 1)
    return np.asarray(np.minimum(lone * share, drawn) * (hazard * fewer))
