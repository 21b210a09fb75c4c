"""How far a fit has come, told to a function or shown as a bar."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from churnsurv.models.base import Progress


def _silent(share: float, sentence: str) -> None:
    """Take a report and say nothing."""


@contextmanager
def reporter(progress: Progress) -> Iterator[Callable[[float, str], None]]:
    """Give a function to report to.

    Parameters
    ----------
    progress : bool or callable
        ``True`` shows a bar on standard error while it lasts; a function is told the share done and a sentence.

    Yields
    ------
    callable
        Takes the share done, from 0 to 1, and a sentence.

    Examples
    --------
    >>> with reporter(lambda share, sentence: print(f"{share:.0%} {sentence}")) as report:
    ...     report(0.5, "drawing")
    50% drawing
    """
    if callable(progress):
        yield progress
    elif not progress:
        yield _silent
    else:
        from rich.console import Console
        from rich.progress import Progress as Bar

        with Bar(console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task("", total=1.0)
            yield lambda share, sentence: bar.update(task, completed=share, description=sentence)
