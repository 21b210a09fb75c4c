"""What goes with coming back, or leaving, sooner or later: ratios with intervals and their reference."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Final

from churnsurv.plots.counted import fits_of
from churnsurv.plots.groups import group_columns, group_sizes, named_groups
from churnsurv.plots.labels import column_label, level_label
from churnsurv.plots.ratios import ratios_of
from churnsurv.plots.risk import alive_rows
from churnsurv.plots.rows import rows_of
from churnsurv.plots.style import BLUE, GRID, INK, MUTED, NARROW, WIDE, finish, layered
from churnsurv.plots.words import words_of_cause

if TYPE_CHECKING:
    import altair as alt
    import pandas as pd

    from churnsurv.risk.table import RiskTable
    from churnsurv.tables.schema import CellSchema

AVERAGE: Final = "the average group"
_SHOWN: Final = 12
_SHORT: Final = 12
_LETTER: Final = 6.2
"""Width of a letter of an axis label in pixels, about."""
_COLUMNS: Final = [
    "column", "title", "level", "reference", "measure", "ratio", "lower", "upper", "time_ratio", "time_lower",
    "time_upper", "is_number", "is_reference", "is_group",
]  # fmt: skip
_RATIOS: Final = ("ratio", "lower", "upper", "time_ratio", "time_lower", "time_upper")


def effects_data(risk: RiskTable, cause: str | None = None) -> pd.DataFrame:
    """Ratios of hazards, per level of each covariate.

    Parameters
    ----------
    risk : RiskTable
        The risk; its fit holds the effects, and it tells how large each group is.
    cause : str, optional
        One of several causes: what goes with leaving by it, among those still there.

    Returns
    -------
    DataFrame
        ``column``, ``title`` (in words), ``level``, ``reference`` (in words), ``measure`` (``"hazard_ratio"``, or
        ``"time_ratio"`` where a model has no ratio of hazards), ``ratio``, ``lower``, ``upper``, ``time_ratio`` with
        its bounds (NaN for models that have none), ``is_number``, ``is_reference``, ``is_group``. A hazard ratio above
        1 means that the event (the return, the end of a contract) comes sooner. Groups of fewer than 10 customers at
        risk, and those beyond the 12 largest, are left out.
    """
    import pandas as pd

    rows: list[dict[str, object]] = []
    fit = fits_of(risk.fit)[cause]
    effects = ratios_of(fit, risk.ci_prob)
    for column in dict.fromkeys(effects["column"]):
        rows += _levels(risk, fit.schema, str(column), effects[effects["column"] == column])
    return pd.DataFrame(rows, columns=_COLUMNS)


def _levels(risk: RiskTable, schema: CellSchema, column: str, effects: pd.DataFrame) -> list[dict[str, object]]:
    is_group = bool((effects["reference"] == "").any())
    is_number = bool(effects["is_number"].any())
    found = {str(row["level"]): row for row in rows_of(effects)}
    references = [] if is_group or is_number else _references(risk, schema, column, effects)
    if is_group:
        shown = [name for name in named_groups(group_sizes(risk, column), shown=_SHOWN) if name in found]
    else:
        shown = _in_order(schema, column, [*references, *found])
        shown = _large_enough(risk, column, shown, references)
    title = column_label(schema, column)
    words = partial(level_label, schema, column)
    common = {"column": column, "title": title[:1].upper() + title[1:], "is_group": is_group, "is_number": is_number}
    rows: list[dict[str, object]] = []
    against = AVERAGE if is_group else " or ".join(words(level) for level in shown if level in references)
    if is_number:
        against = " or ".join(dict.fromkeys(words(str(row["reference"])) for row in found.values()))
    measure = str(effects["measure"].iloc[0])
    none = {name: 1.0 if name in _RATIOS[:3] or effects[name].notna().all() else math.nan for name in _RATIOS}
    for level in shown:
        row = found.get(level, none)
        rows.append(
            {**common, "level": words(level), "is_reference": level not in found}
            | {"reference": against, "measure": measure}
            | {name: float(row[name]) for name in _RATIOS}
        )
    return rows


def _large_enough(risk: RiskTable, column: str, levels: list[str], references: list[str]) -> list[str]:
    """Levels of a text that are no single customer's; the reference is what others are compared with, and stays."""
    if column not in group_columns(risk):
        return levels
    named = set(named_groups(group_sizes(risk, column), shown=_SHOWN))
    return [level for level in levels if level in named or level in references]


def _references(risk: RiskTable, schema: CellSchema, column: str, effects: pd.DataFrame) -> list[str]:
    """List the reference, and the levels that share it because other columns determine them.

    A level without an effect that still has predictions stands where the reference does: comparing with the
    reference alone would name a comparison that the data do not hold.
    """
    references = [str(name) for name in dict.fromkeys(effects["reference"])]
    used = {*references, *(str(name) for name in effects["level"])}
    labels = next((known.labels for known in schema.columns if known.name == column), ())
    if used.issuperset(labels):
        return references
    told = {str(level) for level in alive_rows(risk)[column]}
    return references + [label for label in labels if label not in used and label in told]


def _in_order(schema: CellSchema, column: str, levels: list[str]) -> list[str]:
    """Levels as the bins follow each other; those of an interaction as they come."""
    labels = next((known.labels for known in schema.columns if known.name == column), ())
    place = {label: k for k, label in enumerate(labels)}
    return sorted(dict.fromkeys(levels), key=lambda level: place.get(level, -1))


def plot_effects(risk: RiskTable, cause: str | None = None, *, width: int = WIDE) -> alt.VConcatChart:
    """Draw :func:`effects_data`: a point and an interval per level, on a log axis that all columns share.

    Parameters
    ----------
    risk, cause
        See :func:`effects_data`.
    width : int
        Width of the whole chart in pixels.

    Returns
    -------
    VConcatChart
        An Altair chart.
    """
    import altair as alt

    data = effects_data(risk, cause)
    ends = (min(0.5, float(data["lower"].min()) * 0.95), max(2.0, float(data["upper"].max()) * 1.05))
    words = words_of_cause(risk.spells, cause)
    in_times = bool((data["measure"] == "time_ratio").any())
    title = f"{_capital(words.lasts)} this many times as long" if in_times else f"{words.paces} this many times as fast"
    columns = list(dict.fromkeys(data["column"]))
    longest = max(len(_label(row, width)) for row in rows_of(data))
    least, most = (150, 200) if width > NARROW else (105, 140)
    room = min(most, max(least, 8 + round(_LETTER * longest)))
    panels = [
        _forest(data[data["column"] == column], ends, width, room, title if column == columns[-1] else None)
        for column in columns
    ]
    return finish(alt.vconcat(*panels, spacing=12))


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _forest(rows: pd.DataFrame, ends: tuple[float, float], width: int, room: int, title: str | None) -> alt.LayerChart:
    import altair as alt

    labels = [_label(row, width) for row in rows_of(rows)]
    rows = rows.assign(label=labels)
    y = alt.Y("label:N", sort=labels, title=None).axis(
        labelColor=INK, ticks=False, domain=False, grid=True, minExtent=room, maxExtent=room, labelLimit=room - 8
    )
    last = title is not None
    scale = alt.Scale(type="log", domain=list(ends), nice=False)
    ticks = [t for t in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20) if ends[0] <= t <= ends[1]]
    axis = alt.Axis(values=ticks, format="~g", gridColor=GRID, labels=last, ticks=last, domain=last)
    base = alt.Chart(rows, title=str(rows["title"].iloc[0])).encode(y=y)
    kept = base.transform_filter("!datum.is_reference")
    layers = [
        alt.Chart().mark_rule(color=INK, strokeWidth=1).encode(x=alt.datum(1)),
        kept.mark_rule(strokeWidth=3, color=BLUE, opacity=0.45).encode(
            x=alt.X("lower:Q", title=title, scale=scale, axis=axis), x2="upper:Q"
        ),
        kept.mark_point(filled=True, size=65, opacity=1, color=BLUE).encode(x=alt.X("ratio:Q", scale=scale)),
        base.transform_filter("datum.is_reference")
        .mark_point(shape="diamond", size=60, color=MUTED, strokeWidth=1.5, opacity=1)
        .encode(x=alt.X("ratio:Q", scale=scale)),
    ]
    return layered(layers, width=width - room, height=alt.Step(21), data=rows)


def _label(row: dict[str, object], width: int) -> str:
    level = str(row["level"])
    if row["is_number"]:
        return f"{level} against {row['reference']}" if width > NARROW else f"{level} / {row['reference']}"
    mark = "(reference)" if width > NARROW and len(level) <= _SHORT else "(ref.)"
    return f"{level} {mark}" if row["is_reference"] else level
