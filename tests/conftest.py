"""Small logs that several folders of tests share."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pyarrow as pa
import pytest

from churnsurv.errors import ChurnsurvError
from churnsurv.tables.engines import Engine
from churnsurv.tables.events import EventLog

MakeLog = Callable[..., EventLog]


@pytest.fixture(scope="session")
def engine() -> Engine:
    """One engine for all tests: opening one costs more than most tests."""
    return Engine(threads=1)


@pytest.fixture(scope="session")
def make_log(engine: Engine) -> MakeLog:
    """Make a log from rows ``(customer, time, kind, value, label)``, shorter ones are filled up.

    Times are ISO text without an offset, read in ``timezone``, or integers, microseconds UTC.
    """

    def build(rows: Iterable[tuple[Any, ...]], *, timezone: str = "UTC", **settings: Any) -> EventLog:
        full = [(*row, *("order", None, None)[len(row) - 2 :]) for row in rows]
        who, when, kind, value, label = zip(*full, strict=True)
        text = isinstance(when[0], str)
        frame = pa.table(
            {
                "who": pa.array(who, pa.string()),
                "when": pa.array(when, pa.string() if text else pa.int64()),
                "kind": pa.array(kind, pa.string()),
                "value": pa.array(value, pa.float64()),
                "label": pa.array(label, pa.string()),
            }
        )
        reading = {"time_format": "iso"} if text else {"epoch_unit": "us"}
        named = {"customer": "who", "time": "when", "kind": "kind", "values": ("value",), "labels": ("label",)}
        return EventLog.from_frame(frame, **{**named, **reading, "timezone": timezone, "engine": engine, **settings})

    return build


@pytest.fixture(scope="session")
def utc() -> Callable[[str], int]:
    """Microseconds since 1970 of an ISO moment in UTC."""

    def microseconds(text: str) -> int:
        moment = dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)
        return (moment - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) // dt.timedelta(microseconds=1)

    return microseconds


@pytest.fixture(scope="session")
def refuses() -> Callable[..., contextlib.AbstractContextManager[Any]]:
    """Expect exactly this refusal, with these parts in its message, a hint, and these attributes."""

    @contextlib.contextmanager
    def expect(error: type[ChurnsurvError], *parts: str, **attributes: Any) -> Iterator[Any]:
        with pytest.raises(error) as caught:
            yield caught
        assert type(caught.value) is error
        message = str(caught.value)
        for part in (*parts, "Hint: "):
            assert part in message, f"{part!r} is not in:\n{message}"
        assert message[-1] in ".…)", message
        for name, wanted in attributes.items():
            assert getattr(caught.value, name) == wanted, name

    return expect
