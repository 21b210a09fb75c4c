"""Whether what is asked of a saved fit is what it was made for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from churnsurv.cli.options import QuestionOptions, SourceOptions
from churnsurv.cli.parse import ALL_ACTIVITY, Rule, name_list, origin_of
from churnsurv.cli.sources import DurationSource, LogSource
from churnsurv.errors import ArgumentError, DefinitionError
from churnsurv.tables.churn import Silence
from churnsurv.tables.contracts import Cancellation
from churnsurv.tables.features import Count
from churnsurv.tables.schema import CellSchema

if TYPE_CHECKING:
    from churnsurv.models.base import SurvivalFit

_ANOTHER: Final = "The numbers would answer another question than the one the fit was made for."


def check_fit(fit: Path) -> None:
    """Refuse a place where no fit lies, and say where it is looked for.

    Parameters
    ----------
    fit : Path
        As given on the command line.

    Raises
    ------
    ArgumentError
        If it is a folder or nothing at all.
    """
    inside = fit / "fit"
    if fit.is_dir():
        hint = (
            f"write {str(inside)!r}." if inside.is_file() else "churnsurv report writes one, the file 'fit' in --out."
        )
        raise ArgumentError(f"the fit {str(fit)!r} is a folder, not a saved fit.", hint=hint)
    if not fit.exists():
        raise ArgumentError(
            f"there is no saved fit {str(fit)!r}.", hint="churnsurv report writes one, the file 'fit' in --out."
        )


def feature_columns(schema: CellSchema) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Columns of the file that a fit's features read.

    Parameters
    ----------
    schema : CellSchema
        Of the fit.

    Returns
    -------
    tuple of tuple of str
        Number columns and text columns.
    """
    text = {column.name for column in schema.columns if column.edges is None}
    read = [(feature.value_column, feature.name in text) for feature in schema.features if feature.value_column]
    values = dict.fromkeys(str(column) for column, is_text in read if not is_text)
    labels = dict.fromkeys(str(column) for column, is_text in read if is_text)
    return tuple(values), tuple(labels)


def check_agreement(
    fit: SurvivalFit, source: LogSource | DurationSource, options: SourceOptions, question: QuestionOptions
) -> None:
    """Refuse options that contradict the fit that is to be used.

    Parameters
    ----------
    fit : SurvivalFit
        The saved fit.
    source : LogSource or DurationSource
        What is to be read.
    options, question
        As given.

    Raises
    ------
    DefinitionError
        Naming the first option that does, and what the fit has.
    """
    schema = fit.schema
    _check_source(schema, source)
    for option, (given, has) in _compared(schema, options, question).items():
        if given is not None and given != has:
            shown, said = (", ".join(sorted(x)) or "none" if isinstance(x, set) else x for x in (has, given))
            instead = "give what the fit has" if option == "--timezone" else f"leave {option} out"
            raise DefinitionError(
                f"{option} {said} contradicts the fit, which has {shown}.",
                consequence=_ANOTHER,
                hint=f"{instead}, or make a new fit with churnsurv report.",
            )
    if isinstance(source, LogSource):
        _check_columns(schema, source)
    _check_cause(fit, question.cause)


def _check_source(schema: CellSchema, source: LogSource | DurationSource) -> None:
    stated = getattr(schema.churn, "origin", "") == "stated"
    if stated != isinstance(source, DurationSource):
        made, read = ("durations", "a log") if stated else ("a log", "durations")
        raise DefinitionError(
            f"the fit was made of {made}, and the file is read as {read}.",
            consequence=_ANOTHER,
            hint="add --duration COLUMN --unit UNIT, and leave out what is about time."
            if stated
            else "leave out --duration and what goes with it; say --time, --timezone, --start and --end.",
        )


def _compared(
    schema: CellSchema, options: SourceOptions, question: QuestionOptions
) -> dict[str, tuple[str | set[str] | None, str | set[str]]]:
    """By option: what was given (``None`` if nothing) and what the fit has."""
    values, labels = feature_columns(schema)
    churn = schema.churn
    kinds = churn.kinds if isinstance(churn, Silence) else [f.kind for f in schema.features if isinstance(f, Count)]
    again = churn.reactivation if isinstance(churn, Cancellation) else ()
    return {
        "--timezone": (options.timezone, schema.timezone),
        "--churn": (question.churn and rule_text(_definition(question)), rule_text(churn)),
        "--origin": (question.origin and origin_of(question.origin), getattr(churn, "origin", "none")),
        "--reactivation": (set(name_list(question.reactivation)) or None, set(again)),
        "--activity": (set(name_list(question.activity)) or None, set(kinds)),
        "--value": (set(options.value or ()) or None, set(values)),
        "--group": (set(options.group or ()) or None, set(labels)),
    }


def _definition(question: QuestionOptions) -> Rule:
    return Rule.read(str(question.churn))


def rule_text(churn: object) -> str:
    """Definition as ``--churn`` writes it.

    Examples
    --------
    >>> rule_text(Silence(("order",), 90)), rule_text(Rule.read("cancel:a, b"))
    ('silence:90', 'cancel:a,b')
    """
    if isinstance(churn, Cancellation):
        churn = Rule("cancel", kinds=churn.kinds)
    if isinstance(churn, Rule) and churn.name == "cancel":
        return f"cancel:{','.join(churn.kinds)}"
    name = churn.name if isinstance(churn, Rule) else type(churn).__name__.lower()
    return f"{name}:{getattr(churn, 'days', 0.0):g}"


def _check_columns(schema: CellSchema, source: LogSource) -> None:
    churn = schema.churn
    named = churn.kinds if isinstance(churn, Silence) else (*churn.opening, *churn.causes)
    if source.options.kind is None and named != ALL_ACTIVITY:
        raise DefinitionError(
            f"the fit knows the kinds {', '.join(named)}, but no column of kinds was given.", hint="add --kind COLUMN."
        )
    if getattr(churn, "origin", "") == "column" and source.origin is None:
        raise DefinitionError(
            "the fit counts tenure from a column of beginnings, and none was given.",
            hint="add --origin column:COLUMN.",
        )


def _check_cause(fit: SurvivalFit, cause: str | None) -> None:
    from churnsurv.models.competing import CompetingFits

    causes = fit.schema.causes
    if len(causes) == 1 or isinstance(fit, CompetingFits):
        if cause is not None:
            held = f"all of {', '.join(causes)}" if len(causes) > 1 else f"no cause but {causes[0]}"
            raise DefinitionError(
                f"--cause {cause} chooses among fits, and this fit holds {held}.",
                consequence=_ANOTHER,
                hint="leave --cause out, or make a new fit with churnsurv report.",
            )
        return
    if cause is not None and cause != fit.info.cause:
        raise DefinitionError(
            f"the fit is of {fit.info.cause}, and --cause says {cause}.",
            consequence=_ANOTHER,
            hint="leave --cause out, or make a new fit with churnsurv report.",
        )
