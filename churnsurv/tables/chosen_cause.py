"""One of several causes chosen as the event of a table's rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from churnsurv._typing import IntArray
from churnsurv.errors import ArgumentError
from churnsurv.tables.cells import Unallocated


def choose_cause(
    causes: Sequence[str], chosen: str | None, cause: str, event: IntArray, unallocated: Sequence[Unallocated]
) -> tuple[IntArray, tuple[Unallocated, ...]]:
    """Make one cause the event and let every other one censor.

    Parameters
    ----------
    causes : sequence of str
        Names of the codes 1…K.
    chosen : str or None
        The cause that alone counts already.
    cause : str
        The one to choose.
    event : array of int, shape (n,)
        0 none, 1…K the cause.
    unallocated : sequence of Unallocated
        What is in no row, with events by cause.

    Returns
    -------
    event : array of int, shape (n,)
        1 where the cause ended the row, else 0.
    unallocated : tuple of Unallocated
        With events of that cause alone.

    Raises
    ------
    ArgumentError
        If there is no such cause, or one was chosen already.

    Examples
    --------
    >>> choose_cause(("left", "moved"), None, "moved", np.array([0, 1, 2]), ())
    (array([0, 0, 1]), ())
    """
    if cause not in causes or chosen is not None:
        raise ArgumentError(
            f"there is no cause {cause!r}." if chosen is None else f"these rows count the {chosen} alone.",
            hint=f"causes are: {', '.join(causes)}; call with_cause on the whole table.",
        )
    k = tuple(causes).index(cause)
    kept = tuple(replace(part, n_events=(part.n_events[k],)) for part in unallocated)
    return (event == k + 1).astype(np.int64), kept
