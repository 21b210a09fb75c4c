"""Every refusal and every warning of the library.

All have one shape: what happened and how often, offending rows, what would go wrong if it
were ignored, and a hint with the call to write. The parts are attributes, so that a pipeline
can act on them without reading prose.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from churnsurv._typing import Row

_ROWS_SHOWN = 2


def _format_row(row: Row) -> str:
    return "  " + ", ".join(f"{key}={value}" for key, value in row.items())


def compose_message(what: str, *, rows: Sequence[Row], count: int | None, consequence: str, hint: str) -> str:
    """Write the message of an error or a warning.

    Parameters
    ----------
    what : str
        What happened, how many out of how many.
    rows : sequence of mapping
        Offending rows; the first two are shown.
    count : int or None
        How many rows offend in all; ``None`` when rows are not the matter.
    consequence : str
        What would go wrong if it were ignored; may be empty.
    hint : str
        The call to write; may be empty.

    Returns
    -------
    str
        Up to five lines.

    Examples
    --------
    >>> print(compose_message("1 of 3 rows has no time.", rows=[{"row": 2}], count=1,
    ...                       consequence="", hint='on_bad="drop" leaves it out.'))
    1 of 3 rows has no time.
      row=2
    Hint: on_bad="drop" leaves it out.
    """
    lines = [what, *(_format_row(row) for row in rows[:_ROWS_SHOWN])]
    rest = (len(rows) if count is None else count) - min(len(rows), _ROWS_SHOWN)
    if rows and rest > 0:
        lines.append(f"  … {rest:,} more; error.rows holds the first {len(rows)}")
    if consequence:
        lines.append(consequence)
    if hint:
        lines.append(f"Hint: {hint}")
    return "\n".join(lines)


class ChurnsurvError(Exception):
    """Base of every refusal.

    Parameters
    ----------
    what : str
        What happened, how many out of how many.
    rows : sequence of mapping, optional
        Offending rows, at most five.
    consequence : str, optional
        What would go wrong if it were ignored.
    hint : str, optional
        The call to write.
    column : str, optional
        The column the refusal is about.
    count, total : int, optional
        How many rows offend, out of how many.

    Attributes
    ----------
    code : str
        Stable machine-readable name of the refusal.
    """

    code: ClassVar[str] = "error"

    def __init__(
        self,
        what: str,
        *,
        rows: Sequence[Row] = (),
        consequence: str = "",
        hint: str = "",
        column: str | None = None,
        count: int | None = None,
        total: int | None = None,
    ) -> None:
        self.what = what
        self.rows = tuple(rows)
        self.consequence = consequence
        self.hint = hint
        self.column = column
        self.count = count
        self.total = total
        super().__init__(compose_message(what, rows=self.rows, count=count, consequence=consequence, hint=hint))


class ArgumentError(ChurnsurvError, ValueError):
    """An argument has a value that has no meaning."""

    code = "argument"


class FileFormatError(ChurnsurvError, ValueError):
    """A file cannot be read as what it was said to be."""

    code = "file_format"


class EmptyDataError(ChurnsurvError, ValueError):
    """There are no rows to work on."""

    code = "empty_data"


class ColumnError(ChurnsurvError, KeyError):
    """A named column is not there, or is there twice."""

    code = "column"
    __str__ = Exception.__str__  # KeyError would show the repr, on one line


class MissingValueError(ChurnsurvError, ValueError):
    """A value that must be known is missing."""

    code = "missing_value"


class NonFiniteError(ChurnsurvError, ValueError):
    """A number is infinite or not a number."""

    code = "non_finite"


class DataTypeError(ChurnsurvError, TypeError):
    """A column has a type that cannot carry its meaning."""

    code = "data_type"


class IdentifierError(ChurnsurvError, TypeError):
    """Customer ids are numbers that may have lost digits, or are not text."""

    code = "identifier"


class TimeFormatError(ChurnsurvError, ValueError):
    """A time cannot be read in the stated format or unit."""

    code = "time_format"


class TimeZoneError(ChurnsurvError, ValueError):
    """Time zone unknown, missing, or mixed."""

    code = "time_zone"


class LocalTimeError(ChurnsurvError, ValueError):
    """A local time does not exist or exists twice in the stated zone."""

    code = "local_time"


class WindowError(ChurnsurvError, ValueError):
    """Events and observation window contradict each other."""

    code = "window"


class UnknownKindError(ChurnsurvError, ValueError):
    """A kind of event is named that the log does not hold."""

    code = "unknown_kind"


class DefinitionError(ChurnsurvError, ValueError):
    """A question is asked that the churn definition cannot answer."""

    code = "definition"


class FeatureError(ChurnsurvError, ValueError):
    """A feature declaration contradicts itself, the log or another feature."""

    code = "feature"


class LeakError(ChurnsurvError, ValueError):
    """A feature knew something that was not yet known at its moment."""

    code = "leak"


class BreaksError(ChurnsurvError, ValueError):
    """Period or bin edges are not increasing finite numbers."""

    code = "breaks"


class CellMismatchError(ChurnsurvError, ValueError):
    """Two cell tables do not describe the same cells."""

    code = "cell_mismatch"


class ConservationError(ChurnsurvError, AssertionError):
    """Events or exposure were lost between two tables: a defect of the library."""

    code = "conservation"


class ModelSupportError(ChurnsurvError, ValueError):
    """The model cannot use what the table holds."""

    code = "model_support"


class FormulaError(ChurnsurvError, ValueError):
    """A formula lies outside the grammar or names unknown columns."""

    code = "formula"


class PriorError(ChurnsurvError, ValueError):
    """A prior is named that the model does not have, or has an impossible value."""

    code = "prior"


class NoEventsError(ChurnsurvError, ValueError):
    """There is not one event to learn from."""

    code = "no_events"


class SeparationError(ChurnsurvError, ValueError):
    """A coefficient has no finite estimate: the likelihood rises for ever along it."""

    code = "separation"


class UnseenLevelError(ChurnsurvError, ValueError):
    """A fixed effect meets a level it was never fitted on."""

    code = "unseen_level"


class HorizonError(ChurnsurvError, ValueError):
    """A horizon lies where the definition or the data say nothing."""

    code = "horizon"


class UnreachableHorizonError(HorizonError):
    """Nobody could be told the risk within some horizon, though within others.

    Parameters
    ----------
    within : tuple of float
        Horizons within which somebody could.
    """

    code = "unreachable-horizon"

    def __init__(self, what: str, *, within: tuple[float, ...], consequence: str = "", hint: str = "") -> None:
        self.within = within
        super().__init__(what, consequence=consequence, hint=hint)


class ConvergenceError(ChurnsurvError, RuntimeError):
    """The density of a model is not finite where the search for its mode goes, so there is nothing to start from."""

    code = "no_mode"


class UnreliableFitError(ChurnsurvError, RuntimeError):
    """A fit that failed its gate is asked for numbers without acknowledgement."""

    code = "unreliable_fit"


class SavedFitError(ChurnsurvError, ValueError):
    """A saved fit is damaged, foreign, unsafe or of a newer version."""

    code = "saved_fit"


class GraphError(ChurnsurvError, ValueError):
    """A graph has a cycle, an unknown node, or an edge that cannot be."""

    code = "graph"


class ProbabilityTableError(ChurnsurvError, ValueError):
    """A conditional probability table is none: wrong shape, negative, or rows that do not sum to 1."""

    code = "probability_table"


class UnknownStateError(ChurnsurvError, ValueError):
    """A node is said to be in a state that it does not have."""

    code = "unknown_state"


class ImpossibleEvidenceError(ChurnsurvError, ValueError):
    """What is said to have been seen has probability 0."""

    code = "impossible_evidence"


class IdentificationError(ChurnsurvError, ValueError):
    """An effect is asked for in a way that the graph does not let any data answer."""

    code = "identification"


class NetworkSizeError(ChurnsurvError, ValueError):
    """An exact answer needs a larger table than there is room for."""

    code = "network_size"


class ChurnsurvWarning(UserWarning):
    """Base of every warning."""


class DataWarning(ChurnsurvWarning):
    """Something in the data that a person should look at."""


class ConvergenceWarning(ChurnsurvWarning):
    """The sampler did not reach what the gate asks for."""


class ApproximationWarning(ChurnsurvWarning):
    """A number rests on a simplification that matters."""
