"""Warnings that become notes of a report."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from churnsurv.errors import ChurnsurvWarning, DataWarning


@contextmanager
def noting() -> Iterator[list[str]]:
    """Collect the library's warnings, so that they reach the report and not a terminal's scrollback.

    Yields
    ------
    list of str
        Filled on leaving: each warning about the data once. What the report states on its own, such as
        that intervals are too narrow, is left out. Warnings of other libraries pass through.
    """
    notes: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ChurnsurvWarning)
        yield notes
    for one in caught:
        if issubclass(one.category, DataWarning):
            notes += [str(one.message)] if str(one.message) not in notes else []
        elif not issubclass(one.category, ChurnsurvWarning):
            warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
