"""A simulated subscription business: its log, and the truth that no business has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from churnsurv._typing import FloatArray, IntArray, StrArray
from churnsurv.datasets.arguments import check_frailty, check_horizons, check_number
from churnsurv.datasets.frailty import earlier_area, survive
from churnsurv.datasets.inversion import Curve, Spells, area, no_facts
from churnsurv.datasets.rows import Columns, Part, Rows, categories, customer_names, moments, part_span
from churnsurv.tables.window import DAY_US, ObservationWindow

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from churnsurv.tables.events import EventLog


@dataclass(frozen=True, kw_only=True)
class SubscriptionTruth:
    """What made a simulated business; see :func:`~churnsurv.datasets.simulate_subscription` for each item."""

    breaks: tuple[float, ...]
    hazards: Mapping[str, tuple[float, ...]]
    frailty_variance: float
    countries: Mapping[str, float]
    plans: Mapping[str, Mapping[str, float]]
    season_amplitude: float
    season_peak: int
    return_hazard: float

    @property
    def causes(self) -> tuple[str, ...]:
        """Names of the events 1…K."""
        return tuple(self.hazards)


@dataclass(frozen=True, eq=False)
class SubscriptionSimulation:
    """Result of :func:`~churnsurv.datasets.simulate_subscription`.

    Parameters
    ----------
    window : ObservationWindow
        Where the log is complete.
    timezone : str
        Its zone.
    truth : SubscriptionTruth
        Everything that made it.
    future_days : float
        Days simulated after the window's end.
    curve : Curve
        Baseline and calendar as the simulator used them.
    people, contracts : dict of str to array
        One row per customer; one row per contract, ordered by customer and number.
    """

    window: ObservationWindow
    timezone: str
    truth: SubscriptionTruth
    future_days: float
    curve: Curve
    people: Columns
    contracts: Columns

    @cached_property
    def log(self) -> EventLog:
        """The log at the window's end, as a business would hand it over."""
        from churnsurv.tables.events import EventLog

        return EventLog.from_frame(
            self.frame(),
            customer="customer_id",
            time="time",
            kind="kind",
            labels=("country", "plan"),
            timezone=self.timezone,
        )

    def frame(
        self,
        part: Part = "window",
        *,
        invoice_days: float | None = None,
        early_signups: bool = True,
        signed_up: bool = False,
    ) -> pa.Table:
        """Events as an Arrow table ordered by time: ``signup`` (``country, plan``), and one kind for each cause.

        Parameters
        ----------
        part : {"window", "future", "all"}
            Until the window's end: events inside the window, and the earlier sign-ups of contracts still
            running at its start; after its end; or all of them.
        invoice_days : float, optional
            Add an event ``invoice`` every so many days of tenure while a contract runs, > 0.
        early_signups : bool
            ``False`` leaves out the sign-ups before the window, as a log does that begins with it.
        signed_up : bool
            Add the column ``signed_up``: on each row, when the contract it belongs to began.

        Raises
        ------
        ArgumentError
            If a setting has no meaning.
        """
        low, high = part_span(self.window, self.timezone, part)
        c, opened = self.contracts, self.contracts["opened"]
        closes = opened + c["duration"]
        # A sign-up is known of whoever is there inside the part, however long ago; the log of the future
        # continues that of the window and repeats nothing.
        since = -np.iinfo(np.int64).max if part == "window" and early_signups else low
        signups, later = Rows(int(since), high), Rows(low, high)
        labels = {"country": self.people["country"][c["customer"]], "plan": c["plan"]}
        signups.add("signup", c["customer"], opened, closes >= low, {**labels, "signed_up": opened})
        for k, cause in enumerate(self.truth.causes, 1):
            later.add(cause, c["customer"], closes, c["event"] == k, {"signed_up": opened})
        if invoice_days is not None:
            rows, time = _invoices(opened, closes, invoice_days, low, high)
            everyone = np.ones(len(rows), bool)
            later.add("invoice", c["customer"][rows], time, everyone, {"signed_up": opened[rows]})
        levels = {"country": tuple(self.truth.countries), "plan": tuple(self.truth.plans)}
        beginnings = ("signed_up",) if signed_up else ()
        return _with_moments(signups.join(later).table(len(self.people["country"]), beginnings, levels), beginnings)

    @cached_property
    def customers(self) -> pd.DataFrame:
        """One row per customer: ``customer_id, first_signup`` (UTC), ``country, frailty``."""
        import pandas as pd

        n = len(self.people["country"])
        return pd.DataFrame(
            {
                "customer_id": customer_names(np.arange(n), n),
                "first_signup": moments(self.people["first_signup"]),
                "country": categories(self.people["country"], tuple(self.truth.countries)),
                "frailty": self.people["frailty"],
            }
        )

    @cached_property
    def spells(self) -> pd.DataFrame:
        """Every true contract signed before the window's end, ordered by customer and number.

        ``customer_id, number, origin`` (UTC), ``duration`` (days of tenure, to the true end or to the end
        of the simulated future), ``event`` (0 none, 1…K cause), ``entry`` (tenure at the window's start,
        0 for later sign-ups), ``observed_duration, observed_event`` (as of the window's end), ``in_log``
        (still running at the window's start, or signed later), ``country, plan``, ``log_rate_…`` (effects
        on each cause's log hazard, frailty and season apart), ``frailty`` and ``area``, the cumulative
        hazard of all causes spent over ``duration`` without the frailty.
        """
        import pandas as pd

        start, end = self.window.resolve(self.timezone)
        kept = np.flatnonzero(self.contracts["opened"] < end)
        c = {name: column[kept] for name, column in self.contracts.items()}
        closes = c["opened"] + c["duration"]
        columns: dict[str, Any] = {
            "customer_id": customer_names(c["customer"], len(self.people["country"])),
            "number": c["number"],
            "origin": moments(c["opened"]),
            "duration": c["duration"] / DAY_US,
            "event": c["event"],
            "entry": np.maximum(start - c["opened"], 0) / DAY_US,
            "observed_duration": np.minimum(c["duration"], end - c["opened"]) / DAY_US,
            "observed_event": np.where(closes < end, c["event"], 0),
            "in_log": closes >= start,
            "country": categories(self.people["country"][c["customer"]], tuple(self.truth.countries)),
            "plan": categories(c["plan"], tuple(self.truth.plans)),
        }
        columns |= {f"log_rate_{cause}": np.log(c[f"rate_{cause}"]) for cause in self.truth.causes}
        columns |= {"frailty": self.people["frailty"][c["customer"]], "area": c["area"]}
        return pd.DataFrame(columns)

    @cached_property
    def future(self) -> pd.DataFrame:
        """What really happened to each customer with a contract at the window's end, ordered by ``customer_id``.

        ``tenure`` days so far, ``days`` from the window's end to the ``event`` (1…K, 0 none within
        ``future_days``).
        """
        import pandas as pd

        rows, end = self._open, self.window.resolve(self.timezone)[1]
        opened, duration = self.contracts["opened"][rows], self.contracts["duration"][rows]
        return pd.DataFrame(
            {
                "customer_id": self.open_customers,
                "tenure": (end - opened) / DAY_US,
                "days": (opened + duration - end) / DAY_US,
                "event": self.contracts["event"][rows],
            }
        )

    @cached_property
    def open_customers(self) -> StrArray:
        """Ids of the customers in :attr:`future`, shape (n_open,)."""
        return customer_names(self.contracts["customer"][self._open], len(self.people["country"]))

    def true_survival(
        self, horizon: float | FloatArray, *, frailty: Literal["known", "posterior"] = "posterior"
    ) -> FloatArray:
        """True probability of still being there after the horizon, given everything until the window's end.

        Parameters
        ----------
        horizon : float or array of shape (k,)
            Days after the window's end, in [0, ``future_days``].
        frailty : {"posterior", "known"}
            Averaged over the frailty given the customer's whole history, or with the frailty itself.

        Returns
        -------
        array of shape (n_open,) or (n_open, k)
            In the order of :attr:`open_customers`.

        Raises
        ------
        ArgumentError
            If a horizon reaches beyond the simulated future, or ``frailty`` is unknown.
        """
        horizons = check_horizons(horizon, self.future_days)
        check_frailty(frailty)
        tenure = self._history[1]
        survival = self._survive(tenure[:, None] + horizons, frailty)
        return survival if np.ndim(horizon) else survival[:, 0]

    def true_incidence(self, horizon: float, *, frailty: Literal["known", "posterior"] = "posterior") -> FloatArray:
        r"""True probability of leaving by each cause within the horizon, shape (n_open, K).

        Within a period the causes share every departure in proportion to their hazards, which season and
        frailty do not move, so that

        .. math:: F_c(t + h \mid t) = \sum_j \frac{r_c h_{0cj}}{\sum_k r_k h_{0kj}}
                  \{S(a_j \mid t) - S(b_j \mid t)\}

        over the parts :math:`(a_j, b_j]` of the periods within :math:`(t, t + h]`.

        Parameters
        ----------
        horizon : float
            Days after the window's end, in [0, ``future_days``].
        frailty : {"posterior", "known"}
            As in :meth:`true_survival`.

        Raises
        ------
        ArgumentError
            As in :meth:`true_survival`.
        """
        reach = float(check_horizons(horizon, self.future_days)[0])
        check_frailty(frailty)
        spells, tenure, _, _ = self._history
        ends = np.append(self.curve.breaks[1:], np.inf)
        edges = np.column_stack([tenure, np.clip(ends, tenure[:, None], tenure[:, None] + reach)])
        lost = -np.diff(self._survive(edges, frailty), axis=1)
        hazard = spells.rates[:, :, None] * self.curve.hazards[:, None, :]
        total = hazard.sum(axis=0)
        share = np.divide(hazard, total, out=np.zeros_like(hazard), where=total > 0)
        incidence: FloatArray = (share * lost).sum(axis=2).T
        return incidence

    def _survive(self, tenure: FloatArray, frailty: str) -> FloatArray:
        """Survival to each tenure of shape (n_open, k), given the tenure reached."""
        spells, reached, past, events = self._history
        now = area(self.curve, spells, reached)
        later = np.stack([area(self.curve, spells, column) for column in tenure.T], axis=1)
        return survive(
            np.maximum(later - now[:, None], 0.0),
            spent=past + now,
            events=events,
            frailty_variance=self.truth.frailty_variance,
            frailty=self.people["frailty"][self.contracts["customer"][self._open]] if frailty == "known" else None,
        )

    @cached_property
    def _history(self) -> tuple[Spells, FloatArray, FloatArray, IntArray]:
        """Open contracts, tenure reached, area of each customer's earlier contracts, and number of departures."""
        rows, (start, end) = self._open, self.window.resolve(self.timezone)
        c = {name: column[rows] for name, column in self.contracts.items()}
        rates = np.stack([c[f"rate_{cause}"] for cause in self.truth.causes])
        spells = Spells((c["opened"] - start) / DAY_US, rates, *no_facts(len(rows)))
        past = earlier_area(self.contracts["area"], rows, c["number"])
        return spells, (end - c["opened"]) / DAY_US, past, c["number"].astype(np.int64) - 1

    @cached_property
    def _open(self) -> IntArray:
        """Rows of ``contracts`` that run at the window's end."""
        end = self.window.resolve(self.timezone)[1]
        opened = self.contracts["opened"]
        return np.flatnonzero((opened < end) & (opened + self.contracts["duration"] >= end))

    def __repr__(self) -> str:
        """One line: how many customers and contracts."""
        return (
            f"SubscriptionSimulation({len(self.people['country']):,} customers, "
            f"{len(self.contracts['opened']):,} contracts, window {self.window.start} to {self.window.end})"
        )


def _invoices(opened: IntArray, closes: IntArray, days: float, low: int, high: int) -> tuple[IntArray, IntArray]:
    """Contract and moment of every invoice within ``[low, high)``, before the contract's end."""
    check_number(days, "invoice_days", low=1e-3, high=36_500, unit="days")
    step = round(days * DAY_US)
    first = np.maximum(-((opened - np.maximum(low, opened)) // step), 1)
    last = (np.minimum(closes, high) - opened - 1) // step
    n = np.maximum(last - first + 1, 0)
    rows = np.repeat(np.arange(len(opened)), n)
    number = np.arange(len(rows)) - np.repeat(np.cumsum(n) - n, n) + np.repeat(first, n)
    return rows, opened[rows] + number * step


def _with_moments(table: pa.Table, names: tuple[str, ...]) -> pa.Table:
    """Columns of microseconds as moments."""
    import pyarrow as pa

    for name in names:
        moment = table[name].cast(pa.int64()).cast(pa.timestamp("us", "UTC"))
        table = table.set_column(table.column_names.index(name), name, moment)
    return table
