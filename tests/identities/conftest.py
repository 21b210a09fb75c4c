"""Logs of the random histories."""

from __future__ import annotations

from typing import Any

import pytest

from churnsurv.tables.events import EventLog
from tests.identities.oracle import History


@pytest.fixture(scope="session")
def log_of(make_log):
    """Log of a history."""

    def build(history: History, **settings: Any) -> EventLog:
        rows = [(e.customer, e.time, e.kind, e.value, e.label) for e in history.events]
        return make_log(rows, timezone=history.zone, **settings)

    return build
