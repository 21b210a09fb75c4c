"""Baseline of a Cox model: one step function per stratum, and its uncertainty in a bounded number of blocks."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from churnsurv._typing import BoolArray, FloatArray, IntArray
from churnsurv.models.prediction import log_multiplier
from churnsurv.models.support import Support

if TYPE_CHECKING:
    import pandas as pd

MOST_BLOCKS = 512
"""Blocks of increments that have noise of their own, all strata together; more only where there are more strata."""

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
        """Cut every stratum into blocks of equally many steps, at most ``most`` in all.

        Parameters
        ----------
        baseline : Baseline
            The steps.
        mean : array of shape (n_steps, n_terms)
            Mean of the covariates at risk at each step, from the centre.
        most : int
            Blocks in all; every stratum has one at least.
        """
        steps = np.diff(baseline.offsets)
        share = np.maximum(steps * min(1.0, most / steps.sum()), 1.0).astype(np.int64)
        edges = [
            np.linspace(start, start + n, k + 1).round().astype(np.int64)[:-1]
            for start, n, k in zip(baseline.offsets[:-1], steps, share, strict=True)
        ]
        offsets = np.append(np.concatenate(edges), baseline.offsets[-1])
        rises, variances = baseline.increments, _rises(baseline.variance, baseline.offsets)
        hazard = np.add.reduceat(rises, offsets[:-1])
        weighted = np.add.reduceat(mean * rises[:, None], offsets[:-1], axis=0)
        return cls(
            offsets,
            np.concatenate([[0], np.cumsum(share)]),
            hazard,
            np.add.reduceat(variances, offsets[:-1]),
            weighted / hazard[:, None],
        )

    def __len__(self) -> int:
        """Number of blocks."""
        return len(self.hazard)

    def before(self, multiplier: FloatArray) -> FloatArray:
        """Cumulative hazard of the stratum ahead of each block by draw, shape (n_draws, n_blocks)."""
        parts = multiplier * self.hazard
        total = np.cumsum(parts, axis=1) - parts
        start = np.repeat(self.first[:-1], np.diff(self.first))
        return np.asarray(total - total[:, start])


@dataclass(frozen=True, eq=False)
class Draws:
    """Coefficients and baseline, drawn together.

    Parameters
    ----------
    coef : array of shape (n_draws, n_terms)
        Coefficients.
    multiplier : array of shape (n_draws, n_blocks)
        What each block of the baseline is multiplied with.
    """

    coef: FloatArray
    multiplier: FloatArray

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
            return cls(coef[None], np.ones((1, len(blocks))))
        stream = np.random.default_rng(np.random.SeedSequence(rng))
        away = log_multiplier(stream.standard_normal((n_draws, len(coef))), _root(covariance))
        # of a lone event it is 1 up to rounding, and the generator takes another road at 1 exactly
        shape = np.maximum(np.round(blocks.hazard**2 / blocks.variance, 6), 1e-6)
        noise = stream.standard_gamma(shape, (n_draws, len(blocks))) / shape
        return cls(coef + away, np.exp(-log_multiplier(away, blocks.mean)) * noise)

    def take(self, index: IntArray) -> Draws:
        """Keep some of the draws."""
        return Draws(self.coef[index], self.multiplier[index])


def _root(covariance: FloatArray) -> FloatArray:
    """A matrix whose product with its transpose is the covariance, also where that is singular; it scales with units."""
    size = np.sqrt(np.diag(covariance))
    size = np.where(size > 0, size, 1.0)
    values, vectors = np.linalg.eigh(covariance / np.outer(size, size))
    turned = vectors * np.sqrt(np.maximum(values, 0.0))
    return np.asarray(size[:, None] * (turned @ vectors.T))


def hazard_between(
    baseline: Baseline, blocks: Blocks, draws: Draws, stratum: IntArray, start: FloatArray, stop: FloatArray
) -> FloatArray:
    """Cumulative baseline hazard from start to stop by draw, shape (n_draws, n, k).

    Parameters
    ----------
    baseline, blocks : Baseline, Blocks
        The step functions.
    draws : Draws
        Draws to use.
    stratum : array of shape (n,)
        Stratum of each row.
    start : array of shape (n, 1)
        Days on the clock.
    stop : array of shape (n, k)
        Days on the clock, at or after ``start``.

    Returns
    -------
    array
        At least 0; NaN beyond the last time of the row's stratum.
    """
    before = blocks.before(draws.multiplier)
    rises = _at(baseline, blocks, draws, before, stratum, stop)
    rises -= _at(baseline, blocks, draws, before, stratum, start)
    np.maximum(rises, 0.0, out=rises)
    rises[:, baseline.beyond(stratum, stop) | baseline.beyond(stratum, start)] = np.nan
    return rises


def _at(
    baseline: Baseline, blocks: Blocks, draws: Draws, before: FloatArray, stratum: IntArray, times: FloatArray
) -> FloatArray:
    """Cumulative hazard up to and including each time by draw: whole blocks, then a share of the last."""
    step = baseline.steps_taken(stratum, times)
    none = step < baseline.offsets[np.maximum(stratum, 0)][:, None]
    step = np.maximum(step, 0)
    block = np.searchsorted(blocks.offsets, step, side="right") - 1
    ahead = baseline.cumulative_hazard[blocks.offsets[:-1]] - baseline.increments[blocks.offsets[:-1]]
    value = np.take(draws.multiplier, block, axis=1)
    value *= baseline.cumulative_hazard[step] - ahead[block]
    value += np.take(before, block, axis=1)
    value[:, none] = 0.0
    if baseline.rounded:
        value += _begun(baseline, blocks, draws, stratum, times)
    return value


def _begun(baseline: Baseline, blocks: Blocks, draws: Draws, stratum: IntArray, times: FloatArray) -> FloatArray:
    """Part of the coming rise that is over by each time, where rises are spread over the days before them."""
    coming = baseline.steps_taken(stratum, times) + 1
    over = coming >= baseline.offsets[np.maximum(stratum, 0) + 1][:, None]
    coming = np.minimum(coming, len(baseline.times) - 1)
    share = np.clip((times - baseline.times[coming]) / baseline.rounded + 1.0, 0.0, 1.0)
    share[over] = 0.0
    block = np.searchsorted(blocks.offsets, coming, side="right") - 1
    return np.asarray(np.take(draws.multiplier, block, axis=1) * (baseline.increments[coming] * share))
