"""Random logs that are small and full of coincidences: equal moments, midnights, changes of clocks, exact look-backs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from churnsurv.tables.churn import Silence
from churnsurv.tables.features import Count, Drop, Feature, Maximum, Mean, Recency, Rhythm, Value
from churnsurv.tables.window import ObservationWindow
from tests.identities.oracle import DAY, Event, History

LENGTH = 40
HOUR = DAY // 24
START = {
    "UTC": 1_710_115_200_000_000,
    "Europe/Paris": 1_710_111_600_000_000,
}  # 11 March 2024; clocks go forward on the 31st
KINDS = ("order", "review", "close")


@dataclass(frozen=True)
class Case:
    """A log and everything that is asked of it."""

    history: History
    churn: Silence
    breaks: tuple[float, ...]
    features: tuple[Feature, ...]
    as_of: str
    edges: dict[str, tuple[float, ...]]

    @property
    def window(self) -> ObservationWindow:
        """The window, its end a date of the zone."""
        return ObservationWindow("2024-03-11", "2024-04-20")


@st.composite
def histories(draw: st.DrawFn, zone: str, customers: str) -> History:
    """Events of a few customers over forty days."""
    offsets = st.sampled_from([0, 1, 12 * HOUR, 22 * HOUR, 23 * HOUR, DAY - 1])
    events = st.builds(
        lambda customer, day, offset, kind, value, label: Event(
            customer, START[zone] + day * DAY + offset, kind, value, label
        ),
        st.sampled_from(customers),
        # Some days lie before the window; most lie close together, so that distances equal look-backs.
        st.integers(-3, 12) | st.integers(-3, LENGTH - 2),
        offsets,
        st.sampled_from(("order", "order", "review", "close")),
        st.sampled_from([None, 0.0, 0.1, 0.2, 0.3, 1.5, -2.0, 5.0]),
        st.sampled_from([None, "x", "y"]),
    )
    found = draw(st.lists(events, min_size=1, max_size=28))
    present = [Event("z", START[zone] + k * HOUR, kind, 1.0, "x") for k, kind in enumerate(KINDS)]
    end = START[zone] + LENGTH * DAY - (HOUR if zone == "Europe/Paris" else 0)
    return History((*found, *present), START[zone], end, zone)


@st.composite
def declarations(draw: st.DrawFn) -> tuple[Feature, ...]:
    """A few features with look-backs that coincide with distances between events."""
    days = st.sampled_from([0.5, 1, 2, 7, 10.25])
    kind = st.sampled_from(("order", "review"))
    makers: list[Any] = [
        st.builds(lambda k, d: Count(k, days=d), kind, days),
        st.builds(lambda k, d: Rhythm(k, days=d), kind, days),
        st.builds(lambda k, d: Recency(k, days=d), kind, days),
        st.builds(lambda k, d: Mean(k, "value", days=d), kind, days),
        st.builds(lambda k, d: Maximum(k, "value", days=d), kind, days),
        st.builds(lambda k, r, b: Drop(k, "value", recent=r, before=b), kind, days, days),
        st.builds(lambda k, c, d: Value(k, c, days=d), kind, st.sampled_from(("value", "label")), days),
        st.builds(lambda c: Value("order", c), st.sampled_from(("value", "label"))),
    ]
    found = draw(st.lists(st.one_of(makers), max_size=5, unique_by=lambda f: f.name))
    return tuple(found)


@st.composite
def cases(draw: st.DrawFn, *, zones: tuple[str, ...] = tuple(START), customers: str = "abc") -> Case:
    """A log, a definition, breaks (the first may be late, the last early), features and bins."""
    history = draw(histories(draw(st.sampled_from(zones)), customers))
    churn = Silence(
        ("order",), 20, merge=draw(st.sampled_from(("day", None))), terminal=draw(st.sampled_from(((), ("close",))))
    )
    inner = draw(st.sets(st.sampled_from([0.5, 1.0, 1.25, 3.0, 7.0, 10.0, 20.0, 41.0]), min_size=2, max_size=5))
    breaks = tuple(sorted({*inner, *draw(st.sampled_from([(), (0.0,)]))}))
    features = draw(declarations())
    cut = st.sets(st.sampled_from([-7.05, -1.05, 0.0, 0.55, 1.0, 2.0, 6.95, 12.05]), min_size=2, max_size=4)
    edges = {f.name: tuple(sorted(draw(cut))) for f in features if not (isinstance(f, Value) and f.column == "label")}
    return Case(history, churn, breaks, features, draw(st.sampled_from(("spell", "period"))), edges)
