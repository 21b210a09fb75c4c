"""Numbers as sentences: rounded to what is known, with their uncertainty in words."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from churnsurv.plots.words import Words

_STEPS: Final = (1, 5)
_MONTHS: Final = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip


def count(number: float) -> str:
    """Whole number with separators.

    Examples
    --------
    >>> count(1203.4)
    '1,203'
    """
    return f"{round(number):,}"


def number(value: float, digits: int = 3) -> str:
    """Plain number with at most so many significant digits, never in exponent form.

    Examples
    --------
    >>> number(0.012345), number(12345.6), number(3.0)
    ('0.0123', '12,346', '3')
    """
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    places = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    text = f"{value:,.{places}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def quantity(amount: float, noun: str) -> str:
    """Count and noun, in the plural unless there is one.

    Examples
    --------
    >>> quantity(1, "customer"), quantity(1203, "customer")
    ('1 customer', '1,203 customers')
    """
    return f"{count(amount)} {noun}" if round(amount) == 1 else f"{count(amount)} {noun}s"


def round_range(lower: float, upper: float) -> tuple[int, int]:
    """Round an interval of counts outward, to a step that suits its width.

    A range of 56 customers is not known to the customer. The step is the largest of 1, 5, 10, 50, …
    that is at most a fifth of the width, and the ends move outward, so that the rounded interval
    covers at least what the exact one did.

    Parameters
    ----------
    lower, upper : float
        Ends, 0 <= lower <= upper.

    Returns
    -------
    tuple of int
        Rounded ends.

    Examples
    --------
    >>> round_range(412.3, 468.7), round_range(3, 7), round_range(10480, 11920)
    ((410, 470), (3, 7), (10400, 12000))
    """
    step, candidate, power = 1, 1, 0
    while candidate <= (upper - lower) / 5:
        step = candidate
        power += 1
        candidate = _STEPS[power % 2] * 10 ** (power // 2)
    return math.floor(lower / step) * step, math.ceil(upper / step) * step


def count_range(lower: float, upper: float, *, most: float = math.inf) -> str:
    """Interval of counts in words.

    Parameters
    ----------
    lower, upper : float
        Ends, 0 <= lower <= upper; NaN where they are not known.
    most : float
        How many there are in all: rounding does not go beyond.

    Returns
    -------
    str
        Words.

    Examples
    --------
    >>> count_range(412.3, 468.7), count_range(0, 0), count_range(5, 5)
    ('about 410 to 470', 'none', 'about 5')
    >>> count_range(900, 1201, most=1203), count_range(0.0, 1.0)
    ('about 900 to 1,203', 'at most 1')
    """
    if not (math.isfinite(lower) and math.isfinite(upper)):
        return "not known"
    low, high = round_range(lower, upper)
    high = high if high <= most else round(most)
    if low == high:
        return "none" if high == 0 else f"about {high:,}"
    return f"about {low:,} to {high:,}" if low else f"at most {high:,}"


def percent(share: float, *, digits: int = 0) -> str:
    """Share as a percentage; never 0% or 100% unless it is exactly that.

    Parameters
    ----------
    share : float
        In [0, 1], or NaN.
    digits : int
        Digits after the point.

    Returns
    -------
    str
        Words.

    Examples
    --------
    >>> percent(0.618), percent(0.0004), percent(0.9996), percent(1.0)
    ('62%', 'under 1%', 'over 99%', '100%')
    >>> percent(0.9874, digits=1)
    '98.7%'
    """
    if not math.isfinite(share):
        return "not known"
    least, text = 10.0 ** -(digits + 2), f"{share:.{digits}%}"
    if share > 0 and text == f"{0:.{digits}%}":
        return f"under {least:.{digits}%}"
    if share < 1 and text == f"{1:.{digits}%}":
        return f"over {1 - least:.{digits}%}"
    return text


def percent_range(lower: float, upper: float, *, digits: int = 0) -> str:
    """Interval of shares.

    Examples
    --------
    >>> percent_range(0.541, 0.702), percent_range(0.0, 0.004)
    ('54% to 70%', 'under 1%')
    """
    low, high = percent(lower, digits=digits), percent(upper, digits=digits)
    if not math.isfinite(lower):
        return "not known"
    if lower == 0 and high.startswith("under"):
        return high
    return low if low == high else f"{low} to {high}"


def ratio(value: float) -> str:
    """Hazard ratio with as many digits as it takes to tell it from 1.

    Examples
    --------
    >>> ratio(1.384), ratio(0.7149), ratio(4.38), ratio(12.4)
    ('1.38', '0.71', '4.4', '12')
    """
    if not math.isfinite(value):
        return "not known"
    return f"{value:.0f}" if value >= 9.95 else (f"{value:.1f}" if value >= 1.995 else f"{value:.2f}")


def pace(value: float, lower: float, upper: float, *, longer: bool = False) -> str:
    """How fast an event comes, or how long it takes, in words.

    Parameters
    ----------
    value, lower, upper : float
        Ratio with its interval, > 0.
    longer : bool
        Whether it is one of times and not of hazards.

    Returns
    -------
    str
        Words that follow the name of a level.

    Examples
    --------
    >>> pace(1.4, 1.2, 1.6), pace(0.8, 0.7, 0.9, longer=True)
    ('1.40 times as fast (1.20 to 1.60)', '0.80 times as long (0.70 to 0.90)')
    """
    return f"{ratio(value)} times as {'long' if longer else 'fast'} ({ratio(lower)} to {ratio(upper)})"


def p_value(value: float) -> str:
    """P value with two significant digits, never in exponent form.

    Examples
    --------
    >>> p_value(0.0412), p_value(0.5), p_value(0.00003)
    ('0.041', '0.50', 'below 0.001')
    """
    if not math.isfinite(value):
        return "not known"
    least = 0.001
    return f"below {least}" if value < least else f"{value:.2f}" if value >= 0.1 else f"{value:.2g}"


def listing(words: Sequence[str], *, last: str = "and") -> str:
    """Words joined as in a sentence.

    Examples
    --------
    >>> listing(["30", "60", "90"])
    '30, 60 and 90'
    """
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} {last} {words[-1]}"


def date_words(moment: dt.datetime | dt.date) -> str:
    """Date in words, whatever the locale; the time of day only where it is not midnight.

    Examples
    --------
    >>> date_words(dt.date(2010, 12, 1)), date_words(dt.datetime(2011, 12, 9, 18, 30))
    ('1 December 2010', '9 December 2011, 18:30')
    """
    text = f"{moment.day} {_MONTHS[moment.month - 1]} {moment.year}"
    if isinstance(moment, dt.datetime) and moment.time() != dt.time():
        return f"{text}, {moment:%H:%M}"
    return text


def month_name(month: str) -> str:
    """A calendar month in words, whatever the locale.

    Examples
    --------
    >>> month_name("2011-03")
    'March 2011'
    """
    year, number = month.split("-")
    return f"{_MONTHS[int(number) - 1]} {year}"


def period_words(start: dt.datetime, end: dt.datetime) -> str:
    """Half-open stretch of time as a person would write it, both days included.

    Examples
    --------
    >>> period_words(dt.datetime(2010, 12, 1), dt.datetime(2011, 12, 10))
    '1 December 2010 to 9 December 2011'
    """
    last = end - dt.timedelta(days=1) if end.time() == dt.time() else end
    return f"{date_words(start)} to {date_words(last)}"


def headline_parts(n_alive: int, lower: float, upper: float, *, words: Words, horizon: float) -> tuple[str, str, str]:
    """State the first thing a manager asks: before the number, the number, after it.

    Parameters
    ----------
    n_alive : int
        Customers who could still be lost.
    lower, upper : float
        Predictive interval of how many of them churn within the horizon.
    words : Words
        Of the clock.
    horizon : float
        Days ahead.

    Returns
    -------
    tuple of str
        Three parts of one sentence, so that a page can set off the number.
    """
    if n_alive == 0:
        return words.nobody, "nobody", "is left to lose."
    who = f"{quantity(n_alive, 'customer')} {words.states[n_alive > 1]}"
    expected = count_range(lower, upper, most=n_alive)
    after = (
        f"{'is' if expected in ('about 1', 'at most 1') else 'are'} expected to {words.churn} "
        f"{words.ahead.format(f'{horizon:g}')}."
    )
    return f"Of {who},", expected, after
