"""A simulated shop: its log as a shop would export it, and the truth that no shop has."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from churnsurv._typing import FloatArray, IntArray, StrArray
from churnsurv.datasets.arguments import check_frailty, check_horizons
from churnsurv.datasets.effects import PREVIOUS_DELIVERY, PREVIOUS_RATING, PREVIOUS_WAIT, ShopTruth
from churnsurv.datasets.experience import NEVER, Outcome
from churnsurv.datasets.frailty import earlier_area, survive
from churnsurv.datasets.inversion import Curve, Spells, area
from churnsurv.datasets.rows import Codes, Columns, Levels, Part, Rows, categories, customer_names, moments, part_span
from churnsurv.errors import ArgumentError
from churnsurv.tables.window import DAY_US, ObservationWindow

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from churnsurv.tables.events import EventLog

Frailty = Literal["known", "posterior"]

_VALUES = ("revenue", "delay_days", "wait_hours", "rating")
_LABELS = ("country", "category", "previous_delivery", "previous_wait", "previous_rating")
_FACTS = ("delivered", "answered", "reviewed")


@dataclass(frozen=True, eq=False)
class ShopSimulation:
    """Result of :func:`~churnsurv.datasets.simulate_shop`.

    Parameters
    ----------
    window : ObservationWindow
        What the log covers.
    timezone : str
        Its zone.
    truth : ShopTruth
        Everything that made it.
    future_days : float
        Days simulated after the window's end.
    curve : Curve
        Baseline and calendar as the simulator used them.
    people, orders : dict of str to array
        One row per customer; one row per order and the gap it opens, ordered by customer and number.
    """

    window: ObservationWindow
    timezone: str
    truth: ShopTruth
    future_days: float
    curve: Curve
    people: Columns
    orders: Columns

    @cached_property
    def log(self) -> EventLog:
        """The log inside the window, as a shop would hand it over."""
        from churnsurv.tables.events import EventLog

        return EventLog.from_frame(
            self.frame(),
            customer="customer_id",
            time="time",
            kind="kind",
            values=_VALUES,
            labels=_LABELS,
            timezone=self.timezone,
        )

    def frame(self, part: Part = "window") -> pa.Table:
        """Events as an Arrow table ordered by time.

        Kinds: ``order`` (``revenue, country, category``, and what was known of the previous order:
        ``previous_delivery, previous_wait, previous_rating``), ``delivery`` (``delay_days``, 0 on
        time), ``ticket`` (``wait_hours``; the row is dated when support answered, since only then the
        wait is known), ``review`` (``rating`` 1…5), ``closed``.

        Parameters
        ----------
        part : {"window", "future", "all"}
            Events inside the window; after its end; or all of them, the history before it too.
        """
        low, high = self._span(part)
        o, rows = self.orders, Rows(low, high)
        opened, duration = o["opened"], o["duration"]
        shown = [name for name in _LABELS if name != "country"]
        orders = {name: o[name] for name in ("revenue", *shown)} | {"country": self.people["country"][o["customer"]]}
        rows.add("order", o["customer"], opened, np.ones(len(opened), bool), orders)
        for kind, moment, value in zip(("delivery", "ticket", "review"), _FACTS, _VALUES[1:], strict=True):
            arrives = o[moment] < duration
            rows.add(kind, o["customer"], opened + np.where(arrives, o[moment], 0), arrives, {value: o[value]})
        rows.add("closed", o["customer"], opened + duration, o["event"] == 2, {})
        return rows.table(len(self.people["country"]), _VALUES, self._levels())

    @cached_property
    def customers(self) -> pd.DataFrame:
        """One row per customer, also those without an order inside the window.

        ``customer_id, first_order`` (UTC), ``country, frailty, hidden``.
        """
        import pandas as pd

        return pd.DataFrame(
            {
                "customer_id": customer_names(np.arange(len(self.people["country"])), len(self.people["country"])),
                "first_order": moments(self.people["first_order"]),
                "country": self._names("country", self.people["country"]),
                "frailty": self.people["frailty"],
                "hidden": self.people["hidden"],
            }
        )

    @cached_property
    def gaps(self) -> pd.DataFrame:
        """Every true gap that opened before the window's end, ordered by customer and number.

        ``customer_id, number, opened`` (UTC), ``duration`` (days, to the true end or to the end of the
        simulated future), ``event`` (0 none, 1 return, 2 closure), ``observed_duration,
        observed_event`` (as of the window's end), ``in_log`` (opened inside the window), the opening
        order (``country, category, revenue, previous_…``), the chain (``late, delay_days, ticket,
        wait_hours, review, rating``) with days on the gap clock at which it is or would have been known
        (``delivered_at, answered_at, reviewed_at``; NaN for never), ``log_rate`` (effects on the log hazard
        known at the opening, frailty and season apart), ``frailty`` and ``area``, the cumulative
        hazard spent over ``duration`` without the frailty.
        """
        import pandas as pd

        start, end = self._span("window")
        kept = np.flatnonzero(self.orders["opened"] < end)
        o = {name: column[kept] for name, column in self.orders.items()}
        observed = np.minimum(o["duration"], end - o["opened"])
        columns: dict[str, Any] = {
            "customer_id": customer_names(o["customer"], len(self.people["country"])),
            "number": o["number"],
            "opened": moments(o["opened"]),
            "duration": o["duration"] / DAY_US,
            "event": o["event"],
            "observed_duration": observed / DAY_US,
            # A return at the very end of the half-open window is not in the log.
            "observed_event": np.where(o["opened"] + o["duration"] < end, o["event"], 0),
            "in_log": o["opened"] >= start,
            "country": self._names("country", self.people["country"][o["customer"]]),
            "revenue": o["revenue"],
        }
        columns |= {name: self._names(name, o[name]) for name in _LABELS if name != "country"}
        columns |= {name: o[name] for name in ("late", "delay_days", "ticket", "wait_hours", "review", "rating")}
        columns |= {f"{name}_at": np.where(o[name] == NEVER, np.nan, o[name] / DAY_US) for name in _FACTS}
        columns |= {"log_rate": np.log(o["rate"]), "frailty": self.people["frailty"][o["customer"]], "area": o["area"]}
        return pd.DataFrame(columns)

    @cached_property
    def future(self) -> pd.DataFrame:
        """What really happened to each customer at risk at the window's end, ordered by ``customer_id``.

        At risk is whoever ordered inside the window and has not closed the account. ``silence`` days so
        far, ``days`` from the window's end to the next ``event`` (1 return, 2 closure, 0 neither within
        ``future_days``).
        """
        import pandas as pd

        rows, end = self._open, self._span("window")[1]
        opened, duration = self.orders["opened"][rows], self.orders["duration"][rows]
        return pd.DataFrame(
            {
                "customer_id": self.open_customers,
                "silence": (end - opened) / DAY_US,
                "days": (opened + duration - end) / DAY_US,
                "event": self.orders["event"][rows],
            }
        )

    @cached_property
    def open_customers(self) -> StrArray:
        """Ids of the customers in :attr:`future`, shape (n_open,)."""
        return customer_names(self.orders["customer"][self._open], len(self.people["country"]))

    def true_survival(
        self, horizon: float | FloatArray, *, frailty: Frailty = "posterior", closure: bool = True
    ) -> FloatArray:
        r"""True probability that nothing happens within the horizon, given everything until the window's end.

        With :math:`A` the cumulative hazard without frailty over the open gap up to *r* and *r* + *h*,
        :math:`A_{past}` that over all earlier gaps, *d* the number of returns so far:

        .. math:: \text{known: } e^{-Z[A(r + h) - A(r)]} \qquad \text{posterior: }
           \left(\frac{1/\theta + A_{past} + A(r)}{1/\theta + A_{past} + A(r + h)}\right)^{1/\theta + d}

        times :math:`e^{-\lambda h}` for the closure. The second averages over the gamma posterior of the
        frailty, given all that the customer did since the first order.

        Parameters
        ----------
        horizon : float or array of shape (k,)
            Days after the window's end, in [0, ``future_days``].
        frailty : {"posterior", "known"}
            What an ideal model could know, or what only an oracle knows.
        closure : bool
            ``False`` leaves the closure out: no return, were accounts never closed.

        Returns
        -------
        array of shape (n_open,) or (n_open, k)
            In the order of :attr:`open_customers`.

        Raises
        ------
        ArgumentError
            If a horizon reaches beyond the simulated future, or ``frailty`` is unknown.

        Notes
        -----
        Parcels, answers and reviews that are still to come are taken at their true times. Where they have
        an effect (``this_…`` of :class:`~churnsurv.datasets.ReturnEffects`), this too is an oracle's knowledge.
        """
        horizons = check_horizons(horizon, self.future_days)
        check_frailty(frailty)
        spells, silence, past, returns = self._history
        now = area(self.curve, spells, silence)
        later = np.stack([area(self.curve, spells, silence + h) for h in horizons], axis=1)
        known = self.people["frailty"][self.orders["customer"][self._open]]
        survival = survive(
            later - now[:, None],
            spent=past + now,
            events=returns,
            frailty_variance=self.truth.frailty_variance,
            frailty=known if frailty == "known" else None,
        )
        if closure:
            survival = survival * np.exp(-self.truth.closure_hazard * horizons)
        return survival if np.ndim(horizon) else survival[:, 0]

    def posterior_frailty(self) -> tuple[FloatArray, FloatArray]:
        """Shape and rate of the gamma posterior of each open customer's frailty, given all history.

        Returns
        -------
        shape, rate : array of shape (n_open,)
            1/θ + returns, and 1/θ + cumulative hazard spent; in the order of :attr:`open_customers`.

        Raises
        ------
        ArgumentError
            If all customers are alike (``frailty_variance=0``).
        """
        theta = self.truth.frailty_variance
        if theta == 0:
            raise ArgumentError("all customers are alike (frailty_variance=0): there is no frailty to learn.")
        spells, silence, past, returns = self._history
        return 1.0 / theta + returns.astype(np.float64), 1.0 / theta + past + area(self.curve, spells, silence)

    @cached_property
    def _history(self) -> tuple[Spells, FloatArray, FloatArray, IntArray]:
        """Open gaps, silence so far, area of each customer's earlier gaps, and number of returns."""
        rows, (start, end) = self._open, self._span("window")
        o = {name: column[rows] for name, column in self.orders.items()}
        outcome = Outcome(**{name: o[name] for name in Outcome.__dataclass_fields__})
        spells = Spells((o["opened"] - start) / DAY_US, o["rate"][None], *self.truth.effects.within_gap(outcome))
        past = earlier_area(self.orders["area"], rows, o["number"])
        return spells, (end - o["opened"]) / DAY_US, past, o["number"].astype(np.int64) - 1

    @cached_property
    def _open(self) -> IntArray:
        """Rows of ``orders`` whose gap is in the log and open at the window's end."""
        start, end = self._span("window")
        opened, closes = self.orders["opened"], self.orders["opened"] + self.orders["duration"]
        return np.flatnonzero((opened >= start) & (opened < end) & (closes >= end))

    def _span(self, part: Part) -> tuple[int, int]:
        return part_span(self.window, self.timezone, part)

    def _levels(self) -> Levels:
        return {
            "country": tuple(self.truth.countries),
            "category": tuple(self.truth.effects.category),
            "previous_delivery": PREVIOUS_DELIVERY,
            "previous_wait": PREVIOUS_WAIT,
            "previous_rating": PREVIOUS_RATING,
        }

    def _names(self, name: str, codes: Codes) -> pd.Categorical[str]:
        return categories(codes, self._levels()[name])

    def __repr__(self) -> str:
        """One line: how many customers and orders."""
        return (
            f"ShopSimulation({len(self.people['country']):,} customers, {len(self.orders['opened']):,} orders, "
            f"window {self.window.start} to {self.window.end})"
        )
