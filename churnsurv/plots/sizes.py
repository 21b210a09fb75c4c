"""Numbers as labels of a chart."""

from __future__ import annotations


def short_number(value: float) -> str:
    """Number with at most three significant digits, never in exponent form.

    Examples
    --------
    >>> short_number(70.349), short_number(12345.6), short_number(0.0025)
    ('70.3', '12,346', '0.0025')
    """
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{float(f'{value:.3g}'):,}".removesuffix(".0")
