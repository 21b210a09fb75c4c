"""Answer of an analysis of assumptions: one row for each of them, and the table that a person reads."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import pandas as pd

Assumption = Literal["none", "definition", "clock", "censoring"]


@dataclass(frozen=True)
class AssumptionRow:
    """One assumption, and what follows from it.

    Parameters
    ----------
    assumption : {"none", "definition", "clock", "censoring"}
        What differs from the first row: nothing; the days of silence; from when the model counts time and knows its columns;
        the hazard of those who are no longer watched.
    value : str
        To what.
    horizon : float
        Days ahead: under silence the definition's own, by which everybody's present silence is decided.
    n_active, n_churned : int
        Customers at risk, and those who had churned already, at the window's end.
    survival : float
        S(horizon) of a spell from its beginning, without a model; NaN where spells enter late or were not watched so long.
    expected, lower, upper : float
        Churners expected within the horizon by the first model, with its predictive interval (NaN without one).
    share : float
        ``expected`` over the customers of whom the model says something.
    rank_correlation, top_overlap : float
        Spearman's correlation of the customers' churn probabilities with those of the first row, and the share of its tenth
        of highest risk that is in the tenth of highest risk here; of customers active in both.
    best : str
        Model with the lowest Brier score of the backtest; empty without one.
    skill : float
        Share of the Kaplan–Meier curve's error that the first model saves.
    order_correlation : float
        Spearman's, of the models' order with that of the first row; NaN for fewer than three.
    observed_expected : float
        Churned over expected, all dates together, of the first model.
    """

    assumption: Assumption
    value: str
    horizon: float
    n_active: int
    n_churned: int
    survival: float
    expected: float
    lower: float
    upper: float
    share: float
    rank_correlation: float
    top_overlap: float
    best: str
    skill: float
    order_correlation: float
    observed_expected: float


@dataclass(frozen=True, eq=False)
class AssumptionSensitivity:
    """Answer of :func:`assumption_sensitivity`.

    Parameters
    ----------
    rows : tuple of AssumptionRow
        The first is what was asked; each other one differs in one assumption.
    model : str
        Whose ranking and totals are told.
    notes : tuple of str
        What the numbers do not say.
    """

    rows: tuple[AssumptionRow, ...]
    model: str
    notes: tuple[str, ...]

    def frame(self) -> pd.DataFrame:
        """One row for each assumption, in the columns of :class:`AssumptionRow`."""
        import pandas as pd

        return pd.DataFrame([asdict(row) for row in self.rows])

    def __repr__(self) -> str:
        """Table for a person, and what it does not say."""
        titles = [
            "assumption",
            "days",
            "active",
            "expected",
            "of them",
            "ranking",
            "top tenth",
            "error saved",
            "best",
            "order",
        ]
        lines = [titles] + [
            [
                f"{row.assumption}: {row.value}" if row.assumption != "none" else row.value,
                f"{row.horizon:g}",
                f"{row.n_active:,}",
                _interval(row),
                _percent(row.share),
                _number(row.rank_correlation),
                _percent(row.top_overlap),
                _percent(row.skill),
                row.best or "–",
                _number(row.order_correlation),
            ]
            for row in self.rows
        ]
        widths = [max(len(line[k]) for line in lines) for k in range(len(titles))]
        texts = (0, titles.index("best"))
        table = [
            "  ".join(
                cell.ljust(width) if k in texts else cell.rjust(width)
                for k, (cell, width) in enumerate(zip(line, widths, strict=True))
            ).rstrip()
            for line in lines
        ]
        return "\n".join([f"ranking and totals of {self.model}", *table, *self.notes])


def _interval(row: AssumptionRow) -> str:
    if math.isnan(row.expected):
        return "–"
    return f"{row.expected:,.0f}" + ("" if math.isnan(row.lower) else f" ({row.lower:,.0f} to {row.upper:,.0f})")


def _percent(share: float) -> str:
    return "–" if math.isnan(share) else f"{share:.1%}"


def _number(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.2f}"
