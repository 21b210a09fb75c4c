"""Files beside the report: written whole or not at all, and harmless in a spreadsheet."""

from __future__ import annotations

import csv
import os
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import pandas as pd

# OWASP's list of what makes a spreadsheet evaluate a cell, with the full-width forms that some read
# alike, also behind leading blanks and quotes.
_FORMULA: Final = re.compile("^[\\s\"']*[=+\\-@\uff1d\uff0b\uff0d\uff20]|^[\t\r\n]")


def neutralise(text: str) -> str:
    """Text that no spreadsheet takes for a formula.

    Parameters
    ----------
    text : str
        A cell.

    Returns
    -------
    str
        The text, with an apostrophe before it if it would be evaluated.

    References
    ----------
    .. [1] OWASP, *CSV Injection*, https://owasp.org/www-community/attacks/CSV_Injection

    Examples
    --------
    >>> neutralise("=1+1"), neutralise("-12"), neutralise("France")
    ("'=1+1", "'-12", 'France')
    """
    return f"'{text}" if _FORMULA.match(text) else text


def neutralised(frame: pd.DataFrame) -> pd.DataFrame:
    """Frame whose text cells and column names are neutralised; numbers stay numbers.

    Parameters
    ----------
    frame : DataFrame
        Any frame; it is not changed.

    Returns
    -------
    DataFrame
        A copy.
    """
    safe = frame.rename(columns=lambda name: neutralise(str(name)))
    for name in safe.columns:
        if safe[name].dtype.kind not in "OSUT":
            continue
        safe[name] = [neutralise(value) if isinstance(value, str) else value for value in safe[name]]
    return safe


def write_whole(path: Path, write: Callable[[Path], object]) -> Path:
    """Let something write a file, and put it in place only when it is complete.

    The file is written beside its place, synced and renamed, so that whoever looks sees the old file
    or the new one, and nothing else.

    Parameters
    ----------
    path : Path
        Where the file is to be; its folder exists.
    write : callable
        Called with the path to write to.

    Returns
    -------
    Path
        ``path``.
    """
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=path.suffix)
    os.close(handle)
    draft = Path(name)
    try:
        write(draft)
        with draft.open("rb") as file:
            os.fsync(file.fileno())
        # mkstemp makes a file that only its owner can read; a report is meant to be passed on.
        draft.chmod(0o666 & ~_umask())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    return path


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_csv(frame: pd.DataFrame, path: Path) -> Path:
    """Write a frame as CSV with neutralised text and numbers of six digits.

    Parameters
    ----------
    frame : DataFrame
        Rows.
    path : Path
        Target.

    Returns
    -------
    Path
        ``path``.
    """
    safe = neutralised(frame)
    return write_whole(
        path,
        lambda draft: safe.to_csv(
            draft, index=False, float_format="%.6g", lineterminator="\n", quoting=csv.QUOTE_MINIMAL, encoding="utf-8"
        ),
    )


def write_parquet(frame: pd.DataFrame, path: Path) -> Path:
    """Write a frame as Parquet.

    Parameters
    ----------
    frame : DataFrame
        Rows.
    path : Path
        Target.

    Returns
    -------
    Path
        ``path``.
    """
    return write_whole(path, lambda draft: frame.to_parquet(draft, index=False, engine="pyarrow", compression="zstd"))


def write_text(text: str, path: Path) -> Path:
    """Write UTF-8 text with its line ends as they are.

    Parameters
    ----------
    text : str
        Text.
    path : Path
        Target.

    Returns
    -------
    Path
        ``path``.
    """
    return write_whole(path, lambda draft: draft.write_bytes(text.encode("utf-8")))
