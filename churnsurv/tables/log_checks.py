"""What is asked of a log before spells are cut: kinds it holds, no future, no silent ends."""

from __future__ import annotations

import warnings

from churnsurv.errors import DataWarning, UnknownKindError, WindowError
from churnsurv.tables.events import EventLog
from churnsurv.tables.window import DAY_US, ObservationWindow, moment_of


def check_kinds(log: EventLog, kinds: tuple[str, ...]) -> None:
    """Refuse kinds of event that the log does not hold.

    Raises
    ------
    UnknownKindError
        With the kinds it holds.
    """
    present = log.kinds()
    unknown = [kind for kind in kinds if kind not in present and kind not in log.other_kinds]
    if unknown:
        raise UnknownKindError(
            f"the log has no event of kind {', '.join(map(repr, unknown))}.",
            hint=f"kinds in the log: {', '.join(f'{kind!r} ({n:,})' for kind, n in list(present.items())[:10])}.",
        )


def check_future(log: EventLog, window: ObservationWindow, end: int) -> None:
    """Refuse events at or after the window's end.

    Raises
    ------
    WindowError
        With the number of such events and two of them.
    """
    if log.span[1] < end:
        return
    rows = log.engine.records(
        f"SELECT customer_id, kind, time FROM {log.table} WHERE time >= {end} ORDER BY time, customer_id LIMIT 5"
    )
    count = int(log.engine.rows(f"SELECT count(*) FROM {log.table} WHERE time >= {end}")[0][0])
    shown = [{**row, "time": f"{moment_of(row['time']):%Y-%m-%d %H:%M} UTC"} for row in rows]
    raise WindowError(
        f"{count:,} of {log.n_events:,} events lie at or after the window's end {window.end}.",
        count=count, total=log.n_events, rows=shown, column="time",
        consequence="Customers would be judged by what was not yet known at the end, or the end is wrong.",
        hint=f'state a later end, or leave them out on purpose: log.before("{window.end}") (on the command line --drop-after-end).',
    )  # fmt: skip


def warn_of_sparse_ends(log: EventLog, start: int, end: int) -> None:
    """Warn when the log is silent at one end of the window for longer than it ever is inside."""
    time = log.engine.dialect.day_number("time")
    row = log.engine.rows(
        f"WITH days AS (SELECT DISTINCT {time} AS day FROM {log.table} WHERE time >= {start} AND time < {end}),"
        " gaps AS (SELECT day, lead(day) OVER (ORDER BY day) - day AS gap FROM days)"
        " SELECT min(day), max(day), max(gap), count(*) FROM gaps"
    )[0]
    if row[2] is None or row[3] < 30:
        return
    longest = max(int(row[2]), 2)
    first, last = row[0] - start / DAY_US, end / DAY_US - row[1] - 1
    for silence, word, consequence in (
        (last, "last", "Rows that arrive late are probably missing; everyone would look more silent than they are."),
        (first, "first", "The log probably starts later than the window; early history would be missing."),
    ):
        if silence > 3 * longest:
            warnings.warn(
                f"the {word} {silence:.0f} days of the window hold no event of any customer; inside it the longest"
                f" pause is {longest} days. {consequence} Hint: state the window in which the log is complete.",
                DataWarning, stacklevel=4,
            )  # fmt: skip


def check_overlap(log: EventLog, window: ObservationWindow, start: int) -> None:
    """Refuse a window that begins after the log has ended: all that was running would seem to run on.

    Raises
    ------
    WindowError
        With the log's own span.
    """
    if log.span[1] < start:
        raise WindowError(
            f"no event lies in the window {window.start} to {window.end}; the log's last is of"
            f" {moment_of(log.span[1]):%Y-%m-%d %H:%M} UTC.",
            consequence="Nobody would be seen to leave, and everybody to stay.",
            hint="state the window in which the log is complete.",
        )
