"""Rules that come before churn, as numbers and as sentences."""

from __future__ import annotations

import math
from dataclasses import astuple, dataclass, fields, replace
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from churnsurv._validate import check_count
from churnsurv.causes.patterns.rows import LeftOut, Unit

if TYPE_CHECKING:
    import pandas as pd

_SHOWN = 5
_HUNDRED = 100.0


@dataclass(frozen=True)
class Pattern:
    """One rule: where these conditions hold, the event is more frequent.

    Parameters
    ----------
    rule : str
        Conditions in words.
    conditions : tuple of (str, str)
        Column and level of each, in the order of the table's columns.
    support : float
        Share of all exposure spent in the condition, in [0, 1].
    share_of_events : float
        Share of all events that happened there, in [0, 1].
    n_events : int
        Events there.
    exposure : float
        Days at risk there, or spells.
    n_customers : int
        Customers who were ever there.
    rate : float
        Events per 100 days, or per 100 spells.
    confidence : float
        Probability of the event within the horizon at that rate, in [0, 1]: 1 − exp(−events / exposure · horizon). Of
        spells simply events / spells.
    lift : float
        Rate over the rate of everyone, conditions or not: the lift of association rules.
    rate_ratio : float
        Rate over the rate of everyone else; infinite where nobody else had an event.
    lower, upper : float
        Bounds of the ``rate_ratio``; 0 or infinite where too few customers had events to tell one.
    p_value : float
        Of the ``rate_ratio`` against 1, one-sided; customers are independent, their rows are not.
    p_beyond : float
        The largest of ``p_value`` and the p-values of the same test inside each shorter rule that this one contains.
    p_adjusted : float
        ``p_beyond`` adjusted for every combination that could have been found (Benjamini and Hochberg), rules of each
        length together weighing alike.
    same_as : tuple of str
        Other rules that would have been told and hold for the very same rows: no data tell them apart.
    """

    rule: str
    conditions: tuple[tuple[str, str], ...]
    support: float
    share_of_events: float
    n_events: int
    exposure: float
    n_customers: int
    rate: float
    confidence: float
    lift: float
    rate_ratio: float
    lower: float
    upper: float
    p_value: float
    p_beyond: float
    p_adjusted: float
    same_as: tuple[str, ...] = ()

    def sentence(self, event: str = "churn", unit: Unit = "day") -> str:
        """The rule as a person reads it.

        Parameters
        ----------
        event : str
            What the event is called.
        unit : {"day", "spell"}
            Of the exposure.
        """
        times, where = f"{_number(self.rate_ratio)} times the rate of {event} elsewhere", "the time at risk"
        if math.isinf(self.rate_ratio):
            times = f"{event} here and nowhere else"
        at_risk = "the spells" if unit == "spell" else where
        return (
            f"{self.rule}: {times} ({_range(self.lower, self.upper)}), {_share(self.support)} of {at_risk}, "
            f"{_share(self.share_of_events)} of {event}"
        )


@dataclass(frozen=True, repr=False)
class Patterns:
    """Rules that hold more often before churn, the surest first; made by :func:`~churnsurv.causes.patterns.rules.find_patterns`.

    They say where churn is frequent, not what would change it: a condition may be a cause, a consequence of one, or a sign
    of the kind of customer who leaves anyway. ``status`` says so in every row.

    Parameters
    ----------
    rules : tuple of Pattern
        By the lower bound of the rate ratio, the largest first.
    event_name : str
        What the event is: ``churn`` for all causes together, else their names, or ``return``.
    unit : {"day", "spell"}
        Of the exposure: days at risk; or spells, each of them a chance to fall silent.
    n_events : int
        All events.
    exposure : float
        All exposure.
    n_customers : int
        All customers.
    horizon : float or None
        Days of ``confidence``; ``None`` where the silence itself says how long.
    n_examined : int
        Combinations of conditions that could have been found: what the p-values are adjusted for.
    n_candidates : int
        Of these the ones that were frequent before the event, and counted.
    false_discovery : float
        Share of the rules told that are expected to be chance, at most.
    ci_prob : float
        Probability that the bounds cover.
    left_out : tuple of LeftOut
        Time at risk, or spells, that is in no row, and why.
    """

    rules: tuple[Pattern, ...]
    event_name: str
    unit: Unit
    n_events: int
    exposure: float
    n_customers: int
    horizon: float | None
    n_examined: int
    n_candidates: int
    false_discovery: float
    ci_prob: float
    left_out: tuple[LeftOut, ...] = ()

    status: ClassVar[Literal["associational"]] = "associational"
    ci_kind: ClassVar[Literal["eti"]] = "eti"

    @property
    def rate(self) -> float:
        """Events per 100 days, or per 100 spells, of everyone."""
        return _HUNDRED * self.n_events / self.exposure

    def top(self, k: int = _SHOWN) -> Patterns:
        """Keep the first k rules.

        Raises
        ------
        ArgumentError, DataTypeError
            If ``k`` is no whole number of at least 1.
        """
        return replace(self, rules=self.rules[: check_count(k, "k")])

    def sentences(self) -> tuple[str, ...]:
        """Each rule as a person reads it."""
        return tuple(rule.sentence(self.event_name, self.unit) for rule in self.rules)

    def frame(self) -> pd.DataFrame:
        """Rules as a pandas frame, one row each, with ``n_conditions`` and ``status``."""
        import pandas as pd

        names = [field.name for field in fields(Pattern)]
        table = pd.DataFrame([astuple(rule) for rule in self.rules], columns=names)
        table["same_as"] = [" | ".join(rule.same_as) for rule in self.rules]
        table.insert(1, "n_conditions", np.array([len(rule.conditions) for rule in self.rules], np.int64))
        return table.drop(columns="conditions").assign(status=self.status)

    def __len__(self) -> int:
        """Number of rules."""
        return len(self.rules)

    def __repr__(self) -> str:
        """One line: how many rules of how many combinations."""
        return (
            f"Patterns({len(self):,} of {self.n_examined:,} combinations come before {self.event_name}: "
            f"{self.n_events:,} events in {self.exposure:,.0f} {self.unit}s; {self.status})"
        )

    def __str__(self) -> str:
        """The first rules as sentences."""
        rest = len(self) - _SHOWN
        more = [f"  … {rest:,} more in .frame()"] if rest > 0 else []
        head = (
            f"{len(self):,} patterns before {self.event_name} ({self.ci_prob:.0%} intervals; {self.status}, no causes):"
        )
        return "\n".join([head, *(f"  {one}" for one in self.sentences()[:_SHOWN]), *more])


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 9.95 else f"{value:.1f}"


def _range(lower: float, upper: float) -> str:
    """Bounds in words.

    Examples
    --------
    >>> _range(2.2, 4.4), _range(2.2, math.inf), _range(0.0, 12.0), _range(0.0, math.inf)
    ('2.2 to 4.4', 'at least 2.2', 'at most 12', 'anything')
    """
    if lower <= 0:
        return "anything" if math.isinf(upper) else f"at most {_number(upper)}"
    return f"at least {_number(lower)}" if math.isinf(upper) else f"{_number(lower)} to {_number(upper)}"


def _share(share: float) -> str:
    """Share in words.

    Examples
    --------
    >>> _share(0.124), _share(0.0041)
    ('12%', '0.4%')
    """
    return f"{share:.1%}" if share < 0.01 else f"{share:.0%}"
