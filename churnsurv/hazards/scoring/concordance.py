"""Concordance of risk scores with the order of events: Harrell's and Uno's, with delayed entry, ties and causes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import numpy as np

from churnsurv._typing import BoolArray, FloatArray, IntArray
from churnsurv._validate import as_floats, check_choice, check_ci_prob, same_length
from churnsurv.errors import ArgumentError, EmptyDataError, HorizonError
from churnsurv.hazards.groups import label_codes
from churnsurv.hazards.nonparametric import warn_emptied
from churnsurv.hazards.risk_sets import Spells, check_spells
from churnsurv.hazards.scoring.comparable_pairs import PairSums, Weighting, pair_influence, pair_sums, time_order
from churnsurv.hazards.scoring.outcomes import check_cause
from churnsurv.hazards.scoring.share_intervals import jackknife_error, logit_bounds


@dataclass(frozen=True, eq=False)
class Concordance:
    """Share of comparable pairs in which the customer with the higher score had the event first.

    Made by :func:`concordance_index`.

    Parameters
    ----------
    estimate : float
        In [0, 1]; 0.5 says no more than chance. NaN, never 0.5, where no pair is comparable.
    standard_error : float
        Infinitesimal jackknife, of the estimate; NaN where the estimate is.
    lower, upper : float
        Bounds symmetric in log(C / (1 - C)). NaN where the estimate is 0, 1 or NaN or the standard error is 0.
    ci_prob : float
        Probability that the bounds cover.
    n_pairs : float
        Comparable pairs, each counted as often as the product of its two weights says.
    n_concordant, n_discordant, n_tied : float
        Of these, in order, out of order, and with equal scores. They do not carry Uno's weights.
    weighting : {"harrell", "uno"}
        How pairs count in ``estimate``.
    influence : array of shape (n,) or None
        Derivative of the estimate with respect to each customer's weight; kept on request.
    """

    estimate: float
    standard_error: float
    lower: float
    upper: float
    ci_prob: float
    n_pairs: float
    n_concordant: float
    n_discordant: float
    n_tied: float
    weighting: Weighting
    influence: FloatArray | None


def _check_scores(
    risk_score: object, times: object, n: int, start: float, horizon: float
) -> list[tuple[FloatArray, float, float]]:
    """Scores, each with the stretch of time in which it is in force."""
    scores = as_floats(risk_score, "risk_score")
    if scores.ndim == 1 and times is None:
        same_length({"time": np.empty(n), "risk_score": scores})
        return [(scores, start, horizon)]
    hint = "risk_score of shape (n,), or of shape (n, k) with times=[...] of length k, increasing."
    if times is None or scores.ndim != 2:
        given = "not given" if times is None else "given"
        raise ArgumentError(f"`risk_score` has shape {scores.shape} and `times` is {given}.", hint=hint)
    same_length({"time": np.empty(n), "risk_score": scores})
    ends = as_floats(times, "times", ndim=1)
    if len(ends) != scores.shape[1] or np.any(np.diff(ends) <= 0):
        raise ArgumentError(
            f"`times` has {len(ends)} values for {scores.shape[1]} columns of `risk_score`, or does not increase.",
            column="times",
            hint=hint,
        )
    edges = np.clip(np.concatenate([[start], ends]), start, horizon).tolist()
    return [(scores[:, j], edges[j], edges[j + 1]) for j in range(len(ends))]


def _check_stretch(start: object, horizon: object) -> tuple[float, float]:
    begin = float(as_floats(start, "start", ndim=0))
    end = math.inf if horizon is None else float(as_floats(horizon, "horizon", ndim=0))
    if begin < 0 or end <= begin:
        raise HorizonError(
            f"`start`={begin:g} and `horizon`={end:g} leave no time in between.",
            column="horizon",
            hint="write start=0, horizon=90: events after day 0 and until day 90.",
        )
    return begin, end


def _still_there(spells: Spells, start: float) -> tuple[Spells, BoolArray]:
    """Spells as seen from ``start`` on, and which of them are still there."""
    stays = spells.exit > start
    if not stays.any():
        raise EmptyDataError(
            f"none of {len(stays):,} customers is still at risk after start={start:g}.",
            count=0,
            total=len(stays),
            hint="score from an earlier moment: start=0.",
        )
    entry = spells.entry
    if entry is not None:
        late = np.maximum(entry[stays], start)
        entry = late if np.any(late > start) else None
    return Spells(entry, spells.exit[stays], spells.event[stays], spells.weight[stays]), stays


def _groups(strata: object, stays: BoolArray) -> list[IntArray]:
    """Positions among the rows that stay, one array per stratum."""
    n = int(stays.sum())
    if strata is None:
        return [np.arange(n)]
    _, code = label_codes(strata, "strata")
    same_length({"time": stays, "strata": code})
    number = code[stays]
    order = np.argsort(number, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(number[order])) + 1)


def _of(spells: Spells, rows: IntArray) -> Spells:
    entry = None if spells.entry is None else spells.entry[rows]
    return Spells(entry, spells.exit[rows], spells.event[rows], spells.weight[rows])


def _summary(
    parts: list[tuple[IntArray, PairSums]], weight: FloatArray, weighting: Weighting, ci_prob: float
) -> Concordance:
    in_order, tied, n_pairs = np.sum([sums.counts for _, sums in parts], axis=0).tolist()
    credit, total = np.sum([sums.total() for _, sums in parts], axis=0).tolist()
    estimate, error = math.nan, math.nan
    influence = np.full(len(weight), math.nan)
    if total > 0:
        estimate = credit / total
        influence = np.zeros(len(weight))
        for rows, sums in parts:
            influence[rows] += pair_influence(sums, estimate, total, weighting)
        error = jackknife_error(weight, influence)
    lower, upper = logit_bounds(np.array(estimate), np.array(error), ci_prob)
    return Concordance(
        estimate=estimate,
        standard_error=error,
        lower=float(lower),
        upper=float(upper),
        ci_prob=ci_prob,
        n_pairs=n_pairs,
        n_concordant=in_order,
        n_discordant=max(n_pairs - in_order - tied, 0.0),
        n_tied=tied,
        weighting=weighting,
        influence=influence,
    )


def concordance_index(
    time: object,
    event: object,
    risk_score: object,
    *,
    times: object = None,
    entry: object = None,
    weight: object = None,
    start: float = 0.0,
    horizon: float | None = None,
    cause: int | None = None,
    strata: object = None,
    weighting: Weighting = "harrell",
    ci_prob: float = 0.90,
) -> Concordance:
    r"""Concordance index with its standard error, in O(n log n).

    .. math:: C = \frac{\sum_{i} \sum_{j} \delta_i \, a_{ij} \, \hat G(t_i-)^{-2}
              \bigl[ 1(m_i > m_j) + \tfrac12 1(m_i = m_j) \bigr]}
              {\sum_{i} \sum_{j} \delta_i \, a_{ij} \, \hat G(t_i-)^{-2}}

    A pair is comparable, :math:`a_{ij} = 1`, if at the event time :math:`t_i` the other customer was at risk and had
    no event at that very time: ``entry[j] < time[i] <= time[j]``, with equality only if j is censored then. Pairs of
    two events at one time are not comparable, equal scores count one half: the conventions of R's
    ``survival::concordance``. Harrell's index has :math:`G = 1`; Uno's estimates :math:`G(t-)`, the
    probability of being under observation just before t, from all rows, as :math:`Y(t) / (n \hat S(t-))`: the
    Kaplan–Meier estimate for censoring, and with late entries that for both.

    Harrell's index depends on how long customers were followed. Uno's estimates what would be seen with everyone
    followed until ``horizon``, if censoring and entry do not depend on the time of the event or on the score.

    With ``cause``, a customer lost to another cause never has this one and outlives every later event of it [4]_.
    Under Uno's weights such a pair weighs 1 / (G(t_i-) G(t_j-)).

    Parameters
    ----------
    time : array-like of shape (n,)
        Days to event or censoring, >= 0.
    event : array-like of shape (n,)
        0 censored, 1…K the cause.
    risk_score : array-like of shape (n,) or (n, k)
        Higher means an earlier event; any scale.
    times : array-like of shape (k,), optional
        With k columns: column j is compared at event times in ``(times[j - 1], times[j]]``, the first from
        ``start`` on; later events do not count. Probabilities of an event by every event time give the index of
        Antolini et al. [5]_. Cost grows with k.
    entry : array-like of shape (n,), optional
        Days at which observation began (left truncation), below ``time``.
    weight : array-like of shape (n,), optional
        Frequencies > 0: a row of weight 3 is three customers, in the standard error too.
    start : float
        Events up to it do not count and customers gone by it are left out. Who enters later joins on entry.
    horizon : float, optional
        Events after it do not count; Uno's τ. Without it Uno's weights may grow large at late events.
    cause : int, optional
        Which cause is asked about; ``None``: any event.
    strata : array-like of shape (n,), optional
        Labels; only pairs of one stratum are compared, and G is estimated in each.
    weighting : {"harrell", "uno"}
        How pairs count.
    ci_prob : float
        Probability that the bounds cover.

    Returns
    -------
    Concordance
        Estimate, standard error, bounds, numbers of pairs and influences, of shape (n,).

    Raises
    ------
    ArgumentError, DataTypeError, MissingValueError, NonFiniteError
        Whatever is wrong with an argument.
    EmptyDataError
        If there are fewer than two customers, or none is at risk after ``start``.
    HorizonError
        If ``horizon`` is not after ``start``.

    Warns
    -----
    DataWarning
        Under Uno's weights, if late entries leave an early risk set in which everybody has the event: S is 0
        and later events weigh nothing.

    Notes
    -----
    The standard error is that of the infinitesimal jackknife, :math:`\sum_i w_i (\partial C / \partial w_i)^2` [3]_.
    Under Uno's weights the derivative includes the estimation of G, which R leaves out. It treats the score as given:
    the spread of a fitted model is not in it. Rows are taken as independent; for several rows of one customer,
    add up the influences of each customer before squaring. One million rows take seconds.

    References
    ----------
    .. [1] Harrell, F. E., Lee, K. L. and Mark, D. B. (1996). Multivariable prognostic models. *Statistics in
       Medicine*, 15, 361–387.
    .. [2] Uno, H., Cai, T., Pencina, M. J., D'Agostino, R. B. and Wei, L. J. (2011). On the C-statistics for
       evaluating overall adequacy of risk prediction procedures with censored survival data. *Statistics in Medicine*,
       30, 1105–1117, eq. 6.
    .. [3] Therneau, T. and Atkinson, E. (2024). *Concordance*. Vignette of the R package survival, section 4.
    .. [4] Wolbers, M., Blanche, P., Koller, M. T., Witteman, J. C. M. and Gerds, T. A. (2014). Concordance for
       prognostic models with competing risks. *Biostatistics*, 15, 526–539.
    .. [5] Antolini, L., Boracchi, P. and Biganzoli, E. (2005). A time-dependent discrimination index for survival
       data. *Statistics in Medicine*, 24, 3927–3944.

    Examples
    --------
    Of six comparable pairs four are in order and one has equal scores:

    >>> found = concordance_index([1, 2, 3, 3], [1, 1, 1, 0], [0.9, 0.2, 0.5, 0.2])
    >>> found.n_pairs, found.n_concordant, found.n_tied, found.estimate
    (6.0, 4.0, 1.0, 0.75)
    """
    prob = check_ci_prob(ci_prob)
    form = cast(Weighting, check_choice(weighting, "weighting", ("harrell", "uno")))
    after, until = _check_stretch(start, horizon)
    asked = check_cause(cause)
    spells = check_spells(time, event, entry=entry, weight=weight, n_causes=None)
    scores = _check_scores(risk_score, times, len(spells.exit), after, until)
    present, stays = _still_there(spells, after)
    positions = np.flatnonzero(stays)
    kind = np.where(present.event > 0, 1 if asked is None else np.where(present.event == asked, 1, 2), 0).astype(
        np.int64
    )
    parts = []
    for rows in _groups(strata, stays):
        order = time_order(_of(present, rows), kind[rows], form)
        if form == "uno":
            warn_emptied(order.sets)
        where = positions[rows]
        parts += [(where, pair_sums(order, score[where], begin, end)) for score, begin, end in scores]
    return _summary(parts, spells.weight, form, prob)
