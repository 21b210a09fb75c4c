"""What the columns of a table of durations mean: every role stated, every code of an event read as it was said."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from churnsurv.errors import ArgumentError, DataTypeError
from churnsurv.tables.checks import number_expression
from churnsurv.tables.engines import literal, quote
from churnsurv.tables.histories import RESERVED
from churnsurv.tables.sources import Source
from churnsurv.tables.times import is_text
from churnsurv.tables.window import DAY_US

Churned = str | Mapping[Any, int]

UNIT_US = {
    "hour": DAY_US // 24,
    "day": DAY_US,
    "week": 7 * DAY_US,
    "month": DAY_US * 487 // 16,  # 30.4375 days
    "year": DAY_US * 1461 // 4,  # 365.25 days
}
"""Microseconds of each unit: a month is a twelfth of a year of 365.25 days."""

_MAPPING = 'churned={"Yes": 1, "No": 0}'


@dataclass(frozen=True)
class DurationColumns:
    """Which column means what; see :func:`~churnsurv.tables.durations.read_durations`."""

    duration: str
    event: str | None
    customer: str | None
    spell: str | None
    entry: str | None
    weight: str | None
    open: str | None
    values: tuple[str, ...]
    labels: tuple[str, ...]

    def roles(self) -> Iterator[tuple[str, str]]:
        """Argument and column of everything that is read."""
        for name in ("duration", "event", "customer", "spell", "entry", "weight", "open"):
            if getattr(self, name) is not None:
                yield name, getattr(self, name)
        yield from (("values", column) for column in self.values)
        yield from (("labels", column) for column in self.labels)

    def all(self) -> list[str]:
        """Every column that is read."""
        return [column for _, column in self.roles()]

    def check(self) -> None:
        """Refuse columns that collide.

        Raises
        ------
        ArgumentError
            If a column has two roles, or a covariate bears a name that the tables use.
        """
        seen: dict[str, tuple[str, str]] = {}
        for role, column in self.roles():
            if not isinstance(column, str) or not column:
                raise ArgumentError(f"{role}={column!r} is not the name of a column.", hint=f'write {role}="…".')
            other = seen.setdefault(column.lower(), (role, column))
            if other != (role, column) or (role in ("values", "labels") and self.all().count(column) > 1):
                raise ArgumentError(
                    f"column {column!r} is named twice, in {other[0]}= and in {role}=.",
                    column=column,
                    consequence="What a spell is judged by cannot explain it as well."
                    if other[1] == column
                    else "The engine does not tell upper from lower case.",
                    hint="name each column once; rename one of them if both are meant.",
                )
        reserved = [column for column in (*self.values, *self.labels) if column.lower() in RESERVED]
        if reserved:
            raise ArgumentError(
                f"a covariate cannot be called {reserved[0]!r}.",
                column=reserved[0],
                consequence="The tables use that name for a column of their own.",
                hint="rename the column first.",
            )


def event_expression(source: Source, column: str | None, churned: Churned | None, n_causes: int) -> str:
    """SQL text of the code of an event, 0…K; null where it is missing.

    Parameters
    ----------
    source : Source
        Raw rows.
    column : str or None
        Column of events; without one nobody has left.
    churned : str, mapping or None
        The one value that means churn, or the code of each value; ``None`` reads 0…K and truth values.
    n_causes : int
        K.

    Raises
    ------
    ArgumentError, DataTypeError
        If a value occurs whose meaning was not said.
    """
    if column is None:
        if churned is not None:
            raise ArgumentError(
                "churned= reads a column of events, and event=None names none.", hint='write event="…".'
            )
        return "CAST(0 AS BIGINT)"
    found = _values(source, column)
    if churned is None:
        _check_codes(source, column, found, n_causes)
        return f"CAST({number_expression(source, column)} AS BIGINT)"
    codes = _codes(column, found, churned, n_causes)
    cases = " ".join(f"WHEN {literal(text)} THEN {code}" for text, code in codes.items())
    return f"CAST(CASE NULLIF(CAST({quote(column)} AS VARCHAR), '') {cases} END AS BIGINT)"


def _values(source: Source, column: str) -> list[tuple[str, int]]:
    """Different values as text and how often they occur, the most frequent first."""
    text = f"NULLIF(CAST({quote(column)} AS VARCHAR), '')"
    rows = source.engine.rows(
        f"SELECT {text} AS value, count(*) AS n FROM {quote(source.name)} WHERE {text} IS NOT NULL"
        " AND lower(value) != 'nan' GROUP BY 1 ORDER BY n DESC, value LIMIT 100"
    )
    return [(value, int(n)) for value, n in rows]


def _shown(found: list[tuple[str, int]]) -> str:
    return ", ".join(f"{value!r} ({n:,})" for value, n in found[:5]) + (" …" if len(found) > 5 else "")


def _check_codes(source: Source, column: str, found: list[tuple[str, int]], n_causes: int) -> None:
    """Refuse events that are no codes 0…K."""
    number = number_expression(source, column)
    if is_text(source.types[column]):
        words = source.engine.rows(
            f"SELECT count(*) FROM {quote(source.name)} WHERE {quote(column)} != '' AND {number} IS NULL"
        )[0][0]
        if words:
            raise DataTypeError(
                f"events in {column!r} are words: {_shown(found)}.",
                column=column,
                count=int(words),
                consequence="Which of them means churn would be a guess.",
                hint=f"say what they mean: {_MAPPING}.",
            )
    codes = ", ".join(map(str, range(n_causes + 1)))
    count, total = source.engine.rows(
        f"SELECT count(*) FILTER (WHERE {number} NOT IN ({codes})), count(*) FROM {quote(source.name)}"
    )[0]
    if count:
        raise ArgumentError(
            f"{count:,} of {total:,} events in {column!r} are none of {codes}; there are {_shown(found)}.",
            column=column,
            count=int(count),
            total=int(total),
            consequence="A code without a meaning would count as churn, or as none.",
            hint='name the codes 1…K, causes=("cancelled", "payment_failed"), or say what they mean: churned={0: 0, 2: 1}.',
        )


def _codes(column: str, found: list[tuple[str, int]], churned: Churned, n_causes: int) -> dict[str, int]:
    """Code of each text, or a refusal: a value that was not named would silently count as censored."""
    present = [value for value, _ in found]
    if isinstance(churned, Mapping):
        codes = {_text(value): code for value, code in churned.items()}
        wrong = [code for code in codes.values() if isinstance(code, float) or code not in range(n_causes + 1)]
        if wrong:
            raise ArgumentError(
                f"churned={dict(churned)!r}: {wrong[0]!r} is none of the codes 0 to {n_causes}.",
                hint=f'write {_MAPPING}; several causes are named causes=("cancelled", "payment_failed").',
            )
        left = [value for value in present if _number_text(value, codes) not in codes]
        if left:
            raise ArgumentError(
                f"churned={dict(churned)!r} does not say what {left[0]!r} in {column!r} means; there are {_shown(found)}.",
                column=column,
                consequence="They would silently count as censored, or be lost.",
                hint=f"name every value, for example churned={_example(present)}.",
            )
        if not any(codes.values()):
            raise ArgumentError(
                f"churned={dict(churned)!r} calls no value an event.",
                consequence="Nobody would ever leave.",
                hint=f"give churn the code 1, for example churned={_example(present)}.",
            )
        return {value: int(codes[_number_text(value, codes)]) for value in present}
    word = _text(churned)
    if len(present) == 1 and word not in present:
        raise ArgumentError(
            f"churned={churned!r} is nowhere in {column!r}; all {found[0][1]:,} values are {present[0]!r}.",
            column=column,
            consequence="Nobody would ever have left, and there is nothing to learn from.",
            hint="keep the rows of those who have left too; event=None, and no churned=, reads everybody as still there.",
        )
    if word not in present or len(present) > 2:
        raise ArgumentError(
            f"churned={churned!r} is not one of two values in {column!r}; there are {_shown(found)}.",
            column=column,
            consequence="Every other value would silently count as censored.",
            hint=f"say which is churn, for example churned={present[-1]!r}, or what each means: churned={_example(present)}.",
        )
    return {value: int(value == word) for value in present}


def _example(present: list[str]) -> str:
    """A mapping of the values that are there, the last of them as churn."""
    shown = present[:4]
    return "{" + ", ".join(f"{value!r}: {int(value == shown[-1])}" for value in shown) + "}"


def _text(value: object) -> str:
    """A key as the engine writes it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _number_text(value: str, codes: Mapping[str, int]) -> str:
    """The key that a value answers to: 1.0 in a column of floats answers to 1."""
    whole = value.removesuffix(".0")
    return whole if value not in codes and whole in codes else value
