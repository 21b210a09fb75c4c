"""Patterns that come before churn: association rules of what was known, counted on exposure. They are not causes."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

import numpy as np

from churnsurv._typing import FloatArray
from churnsurv._validate import as_floats, check_ci_prob, check_count, check_horizons
from churnsurv.causes.discovery_rate import adjusted_p_values
from churnsurv.causes.patterns.candidates import Combination, PatternCandidates, parts_of
from churnsurv.causes.patterns.ratios import Customers, RateRatios
from churnsurv.causes.patterns.results import Pattern, Patterns
from churnsurv.causes.patterns.rows import Outcome, PatternRows
from churnsurv.errors import ArgumentError
from churnsurv.tables.bins import Bins, Quantiles
from churnsurv.tables.periods import PeriodTable

_HUNDRED = 100.0
_USUAL_HORIZON = 30.0


def find_patterns(
    periods: PeriodTable,
    *,
    by: Sequence[str] | None = None,
    bins: Bins | Quantiles | None = None,
    outcome: Outcome = "churn",
    cause: str | Sequence[str] = "any",
    after: float = 0.0,
    max_conditions: int = 3,
    min_events: int = 20,
    min_share: float = 0.01,
    false_discovery: float = 0.10,
    horizon: float | None = None,
    ci_prob: float = 0.90,
) -> Patterns:
    """Find combinations of conditions that often come before churn.

    A condition is a column at a level, as known when a row begins: a text, a bin of a number, ``none yet``, and of a fact
    that arrives what has arrived by then. Combinations that are frequent among the rows that end with the event are found by
    FP-growth; then events and exposure of each are counted exactly over all rows.

    Which rows, and which rate: under ``Cancellation`` and ``Inactivity`` the event is the end, and a rate is events per time
    at risk. Under ``Silence`` the event on the clock is the *return*, and churn is that it does not come. So a row is a spell
    (a gap as it opens, or after ``after`` days of silence), its event is that the silence reached the ``days`` of the
    definition or the account was closed before, and the rate is their share. Spells that began less than ``days`` before
    the window's end are left out, whatever came of them: all others are known to their end, and the moment of its beginning
    does not depend on how a spell ends, so nothing needs weights. The late ones that returned are not used; keeping them
    without those that could not yet be told would make everybody look loyal. ``outcome="return"`` asks the other way
    round, on time at risk.

    A rule is told if its customers' rate is clearly higher, (a) than everyone else's and (b) inside every shorter rule that it
    contains, than that of the rest there: of "rating 1–2" and "rating 1–2 and Spain" the second is told only if
    Spain adds to it. The largest of these p-values is a test of all of them at once (Berger 1982); adjusted for every
    combination that could have been found, it is at most ``false_discovery``: of the rules told, that share is expected to
    be chance, at most, if the tests are independent or positively dependent. Rules of one condition, of two and of three
    weigh alike, so that a search for longer ones does not drown the short (Webb 2008; Genovese et al. 2006). The tests count
    customers, not rows: see :class:`~churnsurv.causes.patterns.ratios.RateRatios`.

    Rules that hold for the very same rows are one rule with several names: the shortest is told, the others stand in
    ``same_as``.

    How to read it: patterns, not causes. They are ratios of raw rates, adjusted for nothing: not for the time on
    the clock (name ``"period"`` in ``by`` to see it), nor for other conditions. What an intervention would
    change is a question for a causal network.

    Cost: one grouped query over the person-periods; then for c candidates, n rows of customer and levels and m customers
    O(c · (n / 8 + rows in the condition + m)) steps. Memory: 8 bytes · n · (3 + columns), one bit for each row and
    condition, one byte for each event and condition. With a million rows of 200,000 customers a candidate
    takes 8 ms.

    Parameters
    ----------
    periods : PeriodTable
        Person-periods with features.
    by : sequence of str, optional
        Columns to make conditions of: features, ``"calendar_month"`` where rows are cut at months, ``"period"`` for the time
        on the clock. All but the last by default.
    bins : mapping of str to edges or Quantiles, or Quantiles, optional
        How numbers are cut, needed for each: bin k is ``(edges[k], edges[k + 1]]``. One ``Quantiles(4)`` serves all.
    outcome : {"churn", "return"}
        What comes after. ``"return"`` under ``Silence`` alone.
    cause : str or sequence of str
        Which causes count; the others end the time at risk. ``"any"``: all. Under ``Silence`` ``"silence"`` and, with
        terminal kinds, ``"closure"``.
    after : float
        Days of silence at which conditions are read, >= 0 and less than the definition's; only for churn under ``Silence``.
        Facts that arrive within a gap can be conditions so; whoever returned before is not in the count.
    max_conditions : int
        Conditions of a rule at most, >= 1.
    min_events : int
        Events of a rule at least, >= 1.
    min_share : float
        Share of all exposure that a rule has at least, in [0, 1).
    false_discovery : float
        Share of the rules told that may be chance, in (0, 1]. 1 tells every candidate, whatever it says.
    horizon : float, optional
        Days of ``confidence``, > 0; 30 by default. A probability of the event if nothing else ends the time at risk. Under
        ``Silence`` the definition itself says how long, and a horizon is refused.
    ci_prob : float
        Probability that the bounds cover; bounds are equal-tailed.

    Returns
    -------
    Patterns
        The surest first.

    Raises
    ------
    ArgumentError, BreaksError, DataTypeError, HorizonError
        If a setting has no meaning, a column is unknown, or a number has no bins.
    ModelSupportError
        If mlxtend is not installed, durations carry weights, or silences are asked for at landmarks.
    EmptyDataError, NoEventsError
        If there is no row with known conditions, or no event.

    References
    ----------
    .. [1] Agrawal, R., Imieliński, T. and Swami, A. (1993). Mining association rules between sets of items in large
       databases. *SIGMOD*, 207–216.
    .. [2] Han, J., Pei, J. and Yin, Y. (2000). Mining frequent patterns without candidate generation. *SIGMOD*, 1–12.
    .. [3] Brin, S., Motwani, R., Ullman, J. D. and Tsur, S. (1997). Dynamic itemset counting and implication rules for market
       basket data. *SIGMOD*, 255–264 (lift, there called interest).
    .. [4] Berger, R. L. (1982). Multiparameter hypothesis testing and acceptance sampling. *Technometrics*, 24, 295–300
       (intersection–union tests).
    .. [5] Benjamini, Y. and Hochberg, Y. (1995). Controlling the false discovery rate. *JRSS B*, 57, 289–300.
    .. [6] Genovese, C. R., Roeder, K. and Wasserman, L. (2006). False discovery control with p-value weighting.
       *Biometrika*, 93, 509–524.
    .. [7] Webb, G. I. (2008). Layered critical values: a powerful direct-adjustment approach to discovering significant
       patterns. *Machine Learning*, 71, 307–323.

    Examples
    --------
    >>> from churnsurv.datasets import load_pysurvival_churn
    >>> from churnsurv.tables.periods import PeriodTable
    >>> periods = PeriodTable.from_spells(load_pysurvival_churn())
    >>> patterns = find_patterns(periods, by=["csat_score", "product_payroll"], bins={"csat_score": [0, 5, 8, 10]})
    >>> patterns
    Patterns(2 of 11 combinations come before churn: 932 events in 221,981 days; associational)
    >>> patterns.sentences()[0]
    'product_payroll No: 4.5 times the rate of churn elsewhere (4.0 to 5.0), 9% of the time at risk, 31% of churn'
    """
    days = _check_horizon(horizon, periods, outcome)
    most, least = check_count(max_conditions, "max_conditions"), check_count(min_events, "min_events")
    share = _check_share(min_share, "min_share", least_in=True)
    rate, prob = _check_share(false_discovery, "false_discovery", least_in=False), check_ci_prob(ci_prob)
    rows = PatternRows.read(periods, by=by, bins=bins, outcome=outcome, cause=cause, after=after)
    candidates = PatternCandidates.of(rows, max_conditions=most, min_events=least, min_share=share)
    return rules_of(rows, candidates, false_discovery=rate, horizon=days, ci_prob=prob)


def rules_of(
    rows: PatternRows, candidates: PatternCandidates, *, false_discovery: float, horizon: float | None, ci_prob: float
) -> Patterns:
    """Count candidates on rows, test them, and keep the rules; see :func:`find_patterns`.

    Parameters
    ----------
    rows : PatternRows
        Rows.
    candidates : PatternCandidates
        Combinations found on them.
    false_discovery, horizon, ci_prob
        As there, checked; ``horizon`` is ``None`` for spells.

    Returns
    -------
    Patterns
        The surest first.

    Examples
    --------
    Ninety customers, ten days each: every third had a late parcel, and two of three of them left; of the others one in
    four.

    >>> from churnsurv.tables.schema import PatternColumn
    >>> late, customer = np.arange(90) % 3 == 0, np.arange(90)
    >>> left = np.where(late, customer % 9 > 0, customer % 6 == 1).astype(float)
    >>> column = PatternColumn("parcel", ("in time", "late"))
    >>> rows = PatternRows((column,), late[:, None].astype(int), customer, np.full(90, 10.0), left)
    >>> candidates = PatternCandidates.of(rows, max_conditions=1, min_events=5, min_share=0.01)
    >>> print(rules_of(rows, candidates, false_discovery=0.10, horizon=30.0, ci_prob=0.90).sentences()[0])
    parcel late: 2.7 times the rate of churn elsewhere (1.5 to 4.6), 33% of the time at risk, 57% of churn
    """
    trials = rows.unit == "spell"
    everyone = Customers.of(rows.customer, rows.exposure, rows.events)
    sums = [everyone.compare(candidates.rows(one)) for one in candidates.combinations]
    beyond, adjusted = _tested(rows, candidates, RateRatios.stack(sums, trials=trials).p_value, false_discovery)
    same = _same_rows(candidates, np.flatnonzero(adjusted <= false_discovery).tolist())
    kept = np.array([group[0] for group in same], np.int64)
    told = RateRatios.stack([sums[place] for place in kept], trials=trials)
    found = [
        _pattern(rows, candidates, group, horizon, numbers)
        for group, numbers in zip(same, _numbers(told, ci_prob, beyond[kept], adjusted[kept]), strict=True)
    ]
    return Patterns(
        rules=tuple(sorted(found, key=lambda rule: (-rule.lower, -rule.rate_ratio, -rule.n_events, rule.rule))),
        event_name=rows.event_name,
        unit=rows.unit,
        n_events=int(rows.events.sum()),
        exposure=float(rows.exposure.sum()),
        n_customers=len(everyone.all_events),
        horizon=horizon,
        n_examined=candidates.n_examined,
        n_candidates=len(candidates.combinations),
        false_discovery=false_discovery,
        ci_prob=ci_prob,
        left_out=rows.left_out,
    )


def _tested(
    rows: PatternRows, candidates: PatternCandidates, p_values: FloatArray, false_discovery: float
) -> tuple[FloatArray, FloatArray]:
    """Largest p-value of each candidate against everyone else and inside shorter ones, as it is and adjusted."""
    beyond, weights = p_values.copy(), candidates.weights()
    enough = false_discovery * weights if false_discovery < 1 else np.ones(len(weights))
    for place in np.flatnonzero(beyond <= enough).tolist():
        one = candidates.combinations[place]
        beyond[place] = _largest(rows, candidates, one, float(beyond[place]), float(enough[place]))
    return beyond, _adjusted(beyond, weights, candidates.n_examined)


def _adjusted(p_values: FloatArray, weights: FloatArray, n_examined: int) -> FloatArray:
    """p-values adjusted for all that could have been found; what was not frequent before the event counts as 1.

    Examples
    --------
    Two of four tests were done: 0.01 · 4/1 and 0.03 · 4/2.

    >>> _adjusted(np.array([0.01, 0.03]), np.ones(2), 4).tolist()
    [0.04, 0.06]
    """
    if not len(p_values):
        return p_values
    return np.minimum(adjusted_p_values(np.minimum(p_values / weights, 1.0)) * (n_examined / len(p_values)), 1.0)


def _largest(
    rows: PatternRows, candidates: PatternCandidates, one: Combination, largest: float, enough: float
) -> float:
    """Largest p-value of a rule inside the shorter ones; beyond ``enough`` it is rejected, however large it is."""
    inside = candidates.rows(one)
    for part in parts_of(one):
        if largest > enough:
            break
        within = np.flatnonzero(candidates.rows(part))
        customers = Customers.of(rows.customer[within], rows.exposure[within], rows.events[within])
        ratio = RateRatios.stack([customers.compare(inside[within])], trials=rows.unit == "spell")
        largest = max(largest, float(ratio.p_value[0]))
    return largest


def _same_rows(candidates: PatternCandidates, places: list[int]) -> list[list[int]]:
    """Combinations put together that the same rows meet; the one with fewest conditions first."""
    groups: dict[bytes, list[int]] = {}
    for place in places:
        met = np.packbits(candidates.rows(candidates.combinations[place])).tobytes()
        groups.setdefault(hashlib.blake2b(met).digest(), []).append(place)
    return list(groups.values())


def _numbers(ratios: RateRatios, ci_prob: float, beyond: FloatArray, adjusted: FloatArray) -> list[tuple[float, ...]]:
    """Events, exposure, ratio, bounds and p-values of each rule."""
    lower, upper = ratios.interval(ci_prob)
    columns = (ratios.events, ratios.exposure, ratios.estimate, lower, upper, ratios.p_value, beyond, adjusted)
    return list(zip(*(column.tolist() for column in columns), strict=True))


def _pattern(
    rows: PatternRows,
    candidates: PatternCandidates,
    group: list[int],
    horizon: float | None,
    numbers: tuple[float, ...],
) -> Pattern:
    events, exposure, ratio, lower, upper, p_value, beyond, adjusted = numbers
    one, *others = (candidates.combinations[place] for place in group)
    conditions, *same = (_words(rows, each) for each in (one, *others))
    all_events, all_exposure = float(rows.events.sum()), float(rows.exposure.sum())
    hazard = events / exposure
    return Pattern(
        rule=_rule(conditions),
        conditions=conditions,
        support=exposure / all_exposure,
        share_of_events=events / all_events,
        n_events=int(events),
        exposure=exposure,
        n_customers=len(np.unique(rows.customer[candidates.rows(one)])),
        rate=_HUNDRED * hazard,
        confidence=hazard if horizon is None else -math.expm1(-hazard * horizon),
        lift=hazard / (all_events / all_exposure),
        rate_ratio=ratio,
        lower=lower,
        upper=upper,
        p_value=p_value,
        p_beyond=beyond,
        p_adjusted=adjusted,
        same_as=tuple(_rule(each) for each in same),
    )


def _words(rows: PatternRows, one: Combination) -> tuple[tuple[str, str], ...]:
    """Column and level of each condition."""
    return tuple((rows.columns[k].name, rows.columns[k].labels[level]) for k, level in one)


def _rule(conditions: tuple[tuple[str, str], ...]) -> str:
    return " and ".join(f"{name} {label}" for name, label in conditions)


def _check_horizon(horizon: float | None, periods: PeriodTable, outcome: str) -> float | None:
    """Days of the confidence, ``None`` where churn is a silence."""
    silence = isinstance(periods, PeriodTable) and not periods.spells.churn.on_tenure and outcome == "churn"
    if horizon is None:
        return None if silence else _USUAL_HORIZON
    if silence:
        raise ArgumentError(
            f"horizon={horizon!r} asks how soon, and a silence takes its {getattr(periods.spells.churn, 'days', 0):g} days.",
            column="horizon",
            hint="leave horizon out: confidence is the share of spells that ended in churn.",
        )
    several = check_horizons(horizon)
    if len(several) > 1:
        raise ArgumentError(
            f"`horizon` names {len(several)} horizons; confidence is told for one.",
            column="horizon",
            hint="write horizon=30.",
        )
    return several[0]


def _check_share(value: float, name: str, *, least_in: bool) -> float:
    """Share in [0, 1), or in (0, 1]."""
    share = float(as_floats(value, name, ndim=0))
    if not (0 <= share < 1 if least_in else 0 < share <= 1):
        raise ArgumentError(
            f"`{name}`={value!r} lies outside {'[0, 1)' if least_in else '(0, 1]'}.",
            column=name,
            hint=f"write {name}={'0.01' if least_in else '0.10'}.",
        )
    return share
