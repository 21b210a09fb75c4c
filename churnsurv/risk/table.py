"""The answer: every customer at risk now, by horizon, with bounds and a status."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from churnsurv._typing import BoolArray, FloatArray, StrArray
from churnsurv.errors import ArgumentError

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from churnsurv.models.base import SurvivalFit
    from churnsurv.tables.spells import SpellTable

Status = Literal["supported", "extrapolated", "refused", "already_churned", "unreliable"]
STATUSES: tuple[Status, ...] = ("supported", "extrapolated", "refused", "already_churned", "unreliable")


@dataclass(frozen=True, eq=False)
class RiskColumns:
    """Risk of n customers at k horizons as arrays; the table's inside.

    Parameters
    ----------
    customer_id : array of shape (n,)
        Ids in order.
    silence : array of shape (n,)
        Days on the clock so far.
    churn, lower, upper : arrays of shape (n, k)
        Churn probability and its bounds.
    status, no_return_status : arrays of shape (n, k)
        Texts of :data:`STATUSES`.
    no_return, no_return_lower, no_return_upper : arrays of shape (n, k)
        Probability of no activity within the horizon, and its bounds.
    new_group : array of shape (n,)
        Whether some group was never seen by the fit.
    levels : tuple of arrays of shape (n,)
        Level of each pattern column.
    """

    customer_id: StrArray
    silence: FloatArray
    churn: FloatArray
    lower: FloatArray
    upper: FloatArray
    status: StrArray
    no_return: FloatArray
    no_return_lower: FloatArray
    no_return_upper: FloatArray
    no_return_status: StrArray
    new_group: BoolArray
    levels: tuple[StrArray, ...]

    @classmethod
    def joined(cls, parts: Sequence[RiskColumns]) -> RiskColumns:
        """Batches one below the other."""
        names = [name for name in cls.__dataclass_fields__ if name != "levels"]
        arrays = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
        levels = tuple(np.concatenate(column) for column in zip(*(part.levels for part in parts), strict=True))
        return cls(**arrays, levels=levels)


@dataclass(frozen=True, eq=False)
class Totals:
    """Predictive counts per level of one column, from joint draws plus chance.

    Parameters
    ----------
    levels : tuple of str
        Levels in the order of the rows; one level ``"all"`` without a column.
    counts : array of shape (n_draws, n_levels, n_horizons)
        Customers who churn within the horizon, one possible future per draw.
    expected : array of shape (n_levels, n_horizons)
        Sum of the customers' churn probabilities (eq. 21).
    n_customers, n_already_churned, n_refused : arrays of shape (n_levels,)
        How many were counted, left out as churned already, or could not be told.
    """

    levels: tuple[str, ...]
    counts: np.ndarray
    expected: np.ndarray
    n_customers: np.ndarray
    n_already_churned: np.ndarray
    n_refused: np.ndarray


@dataclass(frozen=True, eq=False)
class RiskTable:
    """Churn risk of everyone at risk at the window's end. Made by :func:`churn_risk`.

    Parameters
    ----------
    fit : SurvivalFit
        The fit that answered.
    spells : SpellTable
        Whose risk it is.
    horizon : tuple of float
        Days ahead.
    ci_prob : float
        Probability inside the bounds, equal-tailed.
    rng : int
        Seed of the predictive noise.
    draw_index : array of int
        Posterior draws that were used.
    columns : RiskColumns
        The numbers.
    sums : mapping of str to Totals
        Predictive counts by column; the key ``""`` is everyone.
    caveats : tuple of str
        What must be read beside every number.
    """

    fit: SurvivalFit
    spells: SpellTable
    horizon: tuple[float, ...]
    ci_prob: float
    rng: int
    draw_index: np.ndarray
    columns: RiskColumns
    sums: dict[str, Totals]
    caveats: tuple[str, ...]

    ci_kind = "eti"

    @property
    def n_customers(self) -> int:
        """Customers at risk or churned already at the window's end."""
        return len(self.columns.customer_id)

    @property
    def n_already_churned(self) -> int:
        """Customers whose silence had reached the definition by the window's end."""
        return int((self.columns.silence >= self.spells.churn.days).sum())

    @property
    def n_alive(self) -> int:
        """Customers whose silence had not reached it."""
        return self.n_customers - self.n_already_churned

    def frame(self) -> pd.DataFrame:
        """One row per customer and horizon, ordered by customer and horizon.

        Returns
        -------
        pandas.DataFrame
            ``customer_id, horizon, cause, churn_probability, lower, upper, status, new_group, silence,
            no_return_probability, no_return_lower, no_return_upper, no_return_status`` and the pattern
            columns. Probabilities in [0, 1]; NaN where refused. ``attrs`` hold ``ci_kind``, ``ci_prob`` and the caveats.
        """
        import pandas as pd

        c, k = self.columns, len(self.horizon)
        data: dict[str, object] = {
            "customer_id": np.repeat(c.customer_id, k),
            "horizon": np.tile(np.asarray(self.horizon), len(c.customer_id)),
            "cause": "silence",
            "churn_probability": c.churn.ravel(),
            "lower": c.lower.ravel(),
            "upper": c.upper.ravel(),
            "status": c.status.ravel(),
            "new_group": np.repeat(c.new_group, k),
            "silence": np.repeat(c.silence, k),
            "no_return_probability": c.no_return.ravel(),
            "no_return_lower": c.no_return_lower.ravel(),
            "no_return_upper": c.no_return_upper.ravel(),
            "no_return_status": c.no_return_status.ravel(),
        }
        data |= {
            column.name: np.repeat(level, k) for column, level in zip(self.fit.schema.columns, c.levels, strict=True)
        }
        frame = pd.DataFrame(data)
        frame.attrs |= {"ci_kind": self.ci_kind, "ci_prob": self.ci_prob, "caveats": list(self.caveats)}
        return frame

    def totals(self, by: str | None = None) -> pd.DataFrame:
        """Expected churners with a predictive interval.

        Each posterior draw gives every customer a probability, and chance decides; the draws are joint,
        so that what is uncertain for all together stays uncertain in the sum. Customers who churned
        already and customers whose risk was refused are not counted, but told.

        Parameters
        ----------
        by : str, optional
            Pattern column; everyone together by default.

        Returns
        -------
        pandas.DataFrame
            ``[by], horizon, n_customers, expected, lower, upper, n_already_churned, n_refused``.

        Raises
        ------
        ArgumentError
            If there is no such column, or it has too many levels.
        """
        import pandas as pd

        if (by or "") not in self.sums:
            raise ArgumentError(
                f"there are no totals by {by!r}.",
                hint=f"columns are: {', '.join(name for name in self.sums if name) or '(none)'}.",
            )
        sums, tail = self.sums[by or ""], (1 - self.ci_prob) / 2
        k = len(self.horizon)
        lower, upper = np.quantile(sums.counts, [tail, 1 - tail], axis=0, method="inverted_cdf")
        data: dict[str, object] = {} if by is None else {by: np.repeat(np.asarray(sums.levels, dtype=object), k)}
        data |= {
            "horizon": np.tile(np.asarray(self.horizon), len(sums.levels)),
            "n_customers": np.repeat(sums.n_customers, k),
            "expected": sums.expected.ravel(),
            "lower": lower.ravel(),
            "upper": upper.ravel(),
            "n_already_churned": np.repeat(sums.n_already_churned, k),
            "n_refused": np.repeat(sums.n_refused, k),
        }
        frame = pd.DataFrame(data)
        frame.attrs |= {"ci_kind": self.ci_kind, "ci_prob": self.ci_prob, "caveats": list(self.caveats)}
        return frame

    def draws(self, customer_ids: Sequence[str]) -> xr.DataArray:
        """Posterior draws of the churn probability of some customers.

        Parameters
        ----------
        customer_ids : sequence of str
            Ids of customers at risk.

        Returns
        -------
        xarray.DataArray
            Dims ``(draw, customer, horizon)``, customers in the order of the table.

        Raises
        ------
        ArgumentError
            If an id is not among the customers at risk.
        """
        from churnsurv.risk.predict import churn_draws

        return churn_draws(self, customer_ids)

    def __repr__(self) -> str:
        """Few lines: who is at risk, and how many are expected to churn."""
        lines = [
            f"RiskTable({self.n_customers:,} customers as of {self.spells.window.end}: "
            f"{self.n_alive:,} active, {self.n_already_churned:,} churned already)"
        ]
        lines += [
            f"  within {row.horizon:g} days: {row.lower:,.0f} to {row.upper:,.0f} of {row.n_customers:,} "
            f"({self.ci_prob:.0%} {self.ci_kind})"
            for row in self.totals().itertuples()
        ]
        return "\n".join([*lines, *(f"  note: {text}" for text in self.caveats)])
