"""The answer: every customer at risk now, by horizon, with bounds and a status."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from churnsurv._typing import FloatArray
from churnsurv.errors import ArgumentError
from churnsurv.models.base import carries_months, needs_history
from churnsurv.risk.caveats import takes_spells_as_independent
from churnsurv.risk.columns import STATUSES, Chance, RiskColumns, Status
from churnsurv.risk.futures import ANY, BLOCK, Totals
from churnsurv.risk.questions import Question
from churnsurv.tables.open_spells import OpenSpells

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from churnsurv.models.base import SurvivalFit
    from churnsurv.tables.spells import SpellTable

__all__ = ["STATUSES", "RiskColumns", "RiskTable", "Status", "Totals"]


@dataclass(frozen=True, eq=False)
class RiskTable:
    """Churn risk of everyone at risk at the window's end. Made by :func:`churn_risk`.

    Parameters
    ----------
    fit : SurvivalFit
        The fit that answered; :class:`~churnsurv.models.competing.CompetingFits` where there were several.
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
        Predictive counts by column, whatever the cause; the key ``""`` is everyone.
    caveats : tuple of str
        What must be read beside every number.
    question : Question
        What was asked of the fit.
    cause_sums : mapping of str to mapping of str to Totals
        ``sums`` of each cause, where there are several.
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
    question: Question
    cause_sums: Mapping[str, dict[str, Totals]] = field(default_factory=dict)

    ci_kind = "eti"

    @property
    def n_customers(self) -> int:
        """Customers at risk or churned already at the window's end."""
        return len(self.columns.customer_id)

    @property
    def n_already_churned(self) -> int:
        """Customers whose silence had reached the definition by the window's end; nobody on the tenure clock."""
        return int(self.columns.churned.sum())

    @property
    def n_alive(self) -> int:
        """Customers who had not churned."""
        return self.n_customers - self.n_already_churned

    @property
    def causes(self) -> tuple[str, ...]:
        """Names in the column ``cause``: several after ``"any"``, or one."""
        return self.question.causes

    @property
    def as_of(self) -> str:
        """Moment of the prediction, in words."""
        return "the end of each duration" if self.spells.window is None else str(self.spells.window.end)

    @property
    def independent_spells(self) -> bool:
        """Whether intervals are too narrow because repeated spells of a customer count as those of several."""
        return takes_spells_as_independent(self.fit, self.spells)

    def frame(self, cause: str | None = None) -> pd.DataFrame:
        """One row per customer and horizon, ordered by customer and horizon; several causes one below the other.

        Parameters
        ----------
        cause : str, optional
            One cause only; ``"any"`` gives one row per customer and horizon whatever the causes are.

        Returns
        -------
        pandas.DataFrame
            ``customer_id, horizon, cause, churn_probability, lower, upper, status, new_group``, then on the gap clock
            ``silence, no_return_probability, no_return_lower, no_return_upper, no_return_status``, on the tenure clock
            ``tenure``; where the fit has a cured share ``p_gone, p_gone_lower, p_gone_upper, p_gone_status``, the
            probability of having left for good already (of being immune, on the tenure clock); and the pattern columns. With
            several causes ``cause`` is ``"any"`` and each of them in turn: the probabilities of the causes add up to that of
            ``"any"``. Probabilities in [0, 1]; NaN where refused. ``attrs`` hold ``ci_kind``, ``ci_prob`` and the caveats.

        Raises
        ------
        ArgumentError
            If there is no such cause.
        """
        import pandas as pd

        c, chances = self.columns, self._chances(cause)
        k, m = len(self.horizon), len(chances)

        def spread(values: np.ndarray) -> np.ndarray:
            """From customers, or customers by horizons, to rows."""
            wide = np.broadcast_to(values[:, None], (len(values), k)) if values.ndim == 1 else values
            return np.repeat(wide.ravel(), m)

        def causes(name: str) -> np.ndarray:
            return np.stack([getattr(chance, name) for chance in chances.values()], axis=-1).ravel()

        data: dict[str, object] = {
            "customer_id": spread(c.customer_id),
            "horizon": np.repeat(np.tile(np.asarray(self.horizon), len(c.customer_id)), m),
            "cause": np.tile(np.asarray(list(chances), dtype=object), len(c.customer_id) * k)
            if m > 1
            else next(iter(chances)),
            "churn_probability": causes("mean"),
            "lower": causes("lower"),
            "upper": causes("upper"),
            "status": spread(c.status),
            "new_group": spread(c.new_group),
            self.question.clock: spread(c.reached),
        }
        if c.no_return is not None and c.no_return_status is not None:
            data |= {
                "no_return_probability": spread(c.no_return.mean),
                "no_return_lower": spread(c.no_return.lower),
                "no_return_upper": spread(c.no_return.upper),
                "no_return_status": spread(c.no_return_status),
            }
        if c.gone is not None and c.gone_status is not None:
            data |= {
                "p_gone": spread(c.gone.mean),
                "p_gone_lower": spread(c.gone.lower),
                "p_gone_upper": spread(c.gone.upper),
                "p_gone_status": spread(c.gone_status),
            }
        data |= {column.name: spread(level) for column, level in zip(self.fit.schema.covariates, c.levels, strict=True)}
        return self._framed(pd.DataFrame(data))

    def totals(self, by: str | None = None, *, cause: str | None = None) -> pd.DataFrame:
        """Expected churners with a predictive interval.

        Each posterior draw gives every customer a probability, and chance decides; the draws are joint,
        so that what is uncertain for all together stays uncertain in the sum. Customers who churned
        already and customers whose risk was refused at some horizon are not counted, but told.

        Parameters
        ----------
        by : str, optional
            Pattern column; everyone together by default.
        cause : str, optional
            One of several causes; ``"any"`` by default. Expectations add up over causes, bounds do not.

        Returns
        -------
        pandas.DataFrame
            ``[by], horizon, n_customers, expected, lower, upper, n_already_churned, n_refused``.

        Raises
        ------
        ArgumentError
            If there is no such cause or column, or the column has too many levels.
        """
        import pandas as pd

        found = self._sums(cause)
        if (by or "") not in found:
            raise ArgumentError(
                f"there are no totals by {by!r}.",
                hint=f"columns are: {', '.join(name for name in found if name) or '(none)'}.",
            )
        sums, tail = found[by or ""], (1 - self.ci_prob) / 2
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
        return self._framed(pd.DataFrame(data))

    def draws(self, customer_ids: Sequence[str], *, cause: str | None = None) -> xr.DataArray:
        """Posterior draws of the churn probability of some customers.

        Parameters
        ----------
        customer_ids : sequence of str
            Ids of customers at risk.
        cause : str, optional
            One of several causes; ``"any"`` by default.

        Returns
        -------
        xarray.DataArray
            Dims ``(draw, customer, horizon)``, customers in the order of the table.

        Raises
        ------
        ArgumentError
            If an id is not among the customers at risk, or there is no such cause.
        """
        import xarray as xr

        wanted, place = self._known(customer_ids), self._place(cause)
        ids, blocks = [], []
        for batch in OpenSpells.batches(
            self.spells,
            self.fit.schema,
            size=BLOCK,
            only=wanted,
            history=needs_history(self.fit),
            months=carries_months(self.fit),
        ):
            incidence = self.question.incidence(batch, self.draw_index)
            chance: FloatArray = incidence.sum(axis=-1) if place is None else incidence[..., place]
            refused = self.question.open(batch.reached) & (batch.unknown | self.fit.unseen(batch))[:, None]
            blocks.append(np.where(refused, np.nan, chance))
            ids.append(batch.customer_id)
        return xr.DataArray(
            np.concatenate(blocks, axis=1),
            dims=("draw", "customer", "horizon"),
            coords={"customer": np.concatenate(ids), "horizon": np.asarray(self.horizon)},
            name="churn_probability",
        )

    def _known(self, customer_ids: Sequence[str]) -> list[str]:
        wanted = list(dict.fromkeys(customer_ids))
        known = set(self.columns.customer_id)
        unknown = [name for name in wanted if name not in known]
        if unknown or isinstance(customer_ids, str):
            raise ArgumentError(
                f"{len(unknown):,} of {len(wanted):,} customers are not at risk at {self.as_of}: "
                f"{', '.join(map(repr, unknown[:2]))}.",
                hint='ids are text, as in table.frame(): draws(["12347"]).',
            )
        return wanted

    def _place(self, cause: str | None) -> int | None:
        """Place of a cause among several, ``None`` for all together."""
        if cause in (None, ANY):
            return None if len(self.causes) > 1 else 0
        if cause not in self.causes:
            raise ArgumentError(
                f"there is no cause {cause!r} in this table.", hint=f"causes are: {', '.join((ANY, *self.causes))}."
            )
        return self.causes.index(str(cause))

    def _chances(self, cause: str | None) -> dict[str, Chance]:
        c, place = self.columns, self._place(cause)
        whole = Chance(c.churn, c.lower, c.upper)
        if c.by_cause is None:
            return {self.causes[0]: whole}
        parts = {name: c.by_cause.part(k) for k, name in enumerate(self.causes)}
        if place is not None:
            return {self.causes[place]: parts[self.causes[place]]}
        return {ANY: whole} if cause == ANY else {ANY: whole, **parts}

    def _sums(self, cause: str | None) -> dict[str, Totals]:
        place = self._place(cause)
        return self.sums if place is None or not self.cause_sums else self.cause_sums[self.causes[place]]

    def _framed(self, frame: pd.DataFrame) -> pd.DataFrame:
        frame.attrs |= {"ci_kind": self.ci_kind, "ci_prob": self.ci_prob, "caveats": list(self.caveats)}
        return frame

    def __repr__(self) -> str:
        """Few lines: who is at risk, and how many are expected to churn."""
        state = (
            "under contract"
            if self.question.clock == "tenure"
            else f"{self.n_alive:,} active, {self.n_already_churned:,} churned already"
        )
        lines = [f"RiskTable({self.n_customers:,} customers as of {self.as_of}: {state})"]
        lines += [self._line(row, "") for row in self.totals().itertuples()]
        for cause in self.cause_sums:
            lines += [self._line(row, f", {cause}") for row in self.totals(cause=cause).itertuples()]
        refused = int(self.totals()["n_refused"].iloc[0])
        if refused:
            lines.append(f"  not counted: {refused:,} customers whose risk could not be told at some horizon (refused)")
        return "\n".join([*lines, *(f"  note: {text}" for text in self.caveats)])

    def _line(self, row: object, what: str) -> str:
        horizon, n, low, high = (getattr(row, name) for name in ("horizon", "n_customers", "lower", "upper"))
        return (
            f"  within {horizon:g} days{what}: {low:,.0f} to {high:,.0f} of {n:,} ({self.ci_prob:.0%} {self.ci_kind})"
        )
