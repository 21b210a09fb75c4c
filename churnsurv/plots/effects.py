"""What goes with coming back sooner or later: hazard ratios with intervals and their reference."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from churnsurv.plots.groups import group_sizes, named_groups
from churnsurv.plots.labels import column_label, level_label
from churnsurv.plots.risk import alive_rows
from churnsurv.plots.rows import rows_of
from churnsurv.plots.style import BLUE, GRID, INK, MUTED, NARROW, WIDE, finish, layered

if TYPE_CHECKING:
    import altair as alt
    import pandas as pd

    from churnsurv.risk.table import RiskTable

AVERAGE: Final = "the average group"
_SHOWN: Final = 12
_COLUMNS: Final = [
    "column", "title", "level", "reference", "hazard_ratio", "lower", "upper", "is_reference", "is_group",
]  # fmt: skip


def effects_data(risk: RiskTable) -> pd.DataFrame:
    """Hazard ratios of the return, per level of each covariate.

    Parameters
    ----------
    risk : RiskTable
        The risk; its fit holds the effects, and it tells how large each group is.

    Returns
    -------
    DataFrame
        ``column``, ``title`` (in words), ``level``, ``reference`` (in words), ``hazard_ratio``, ``lower``,
        ``upper``, ``is_reference``, ``is_group``. Above 1 a customer comes back sooner. Groups of fewer
        than 10 active customers, and those beyond the 12 largest, are left out.
    """
    import pandas as pd

    rows: list[dict[str, object]] = []
    summary = risk.fit.summary(risk.ci_prob)
    for column in dict.fromkeys(summary["column"]):
        rows += _levels(risk, str(column), summary[summary["column"] == column])
    return pd.DataFrame(rows, columns=_COLUMNS)


def _levels(risk: RiskTable, column: str, effects: pd.DataFrame) -> list[dict[str, object]]:
    is_group = bool((effects["reference"] == "").any())
    found = {str(row["level"]): row for row in rows_of(effects)}
    references = [] if is_group else _references(risk, column, effects)
    if is_group:
        shown = [name for name in named_groups(group_sizes(risk, column), shown=_SHOWN) if name in found]
    else:
        shown = _in_order(risk, column, [*references, *found])
    title = column_label(risk.fit.schema, column)
    words = partial(level_label, risk.fit.schema, column)
    common = {"column": column, "title": title[:1].upper() + title[1:], "is_group": is_group}
    rows: list[dict[str, object]] = []
    against = AVERAGE if is_group else " or ".join(words(level) for level in shown if level in references)
    for level in shown:
        row = found.get(level, {"hazard_ratio": 1.0, "lower": 1.0, "upper": 1.0})
        rows.append(
            {**common, "level": words(level), "is_reference": level not in found}
            | {"reference": against}
            | {name: float(row[name]) for name in ("hazard_ratio", "lower", "upper")}
        )
    return rows


def _references(risk: RiskTable, column: str, effects: pd.DataFrame) -> list[str]:
    """List the reference, and the levels that share it because other columns determine them.

    A level without an effect that still has predictions stands where the reference does: comparing with the
    reference alone would name a comparison that the data do not hold.
    """
    references = [str(name) for name in dict.fromkeys(effects["reference"])]
    used = {*references, *(str(name) for name in effects["level"])}
    labels = next((known.labels for known in risk.fit.schema.columns if known.name == column), ())
    if used.issuperset(labels):
        return references
    told = {str(level) for level in alive_rows(risk)[column]}
    return references + [label for label in labels if label not in used and label in told]


def _in_order(risk: RiskTable, column: str, levels: list[str]) -> list[str]:
    """Levels as the bins follow each other; those of an interaction as they come."""
    labels = next((known.labels for known in risk.fit.schema.columns if known.name == column), ())
    place = {label: k for k, label in enumerate(labels)}
    return sorted(dict.fromkeys(levels), key=lambda level: place.get(level, -1))


def plot_effects(risk: RiskTable, *, width: int = WIDE) -> alt.VConcatChart:
    """Draw :func:`effects_data`: a point and an interval per level, on a log axis that all columns share.

    Parameters
    ----------
    risk : RiskTable
        The risk.
    width : int
        Width of the whole chart in pixels.

    Returns
    -------
    VConcatChart
        An Altair chart.
    """
    import altair as alt

    data = effects_data(risk)
    ends = (min(0.5, float(data["lower"].min()) * 0.95), max(2.0, float(data["upper"].max()) * 1.05))
    columns = list(dict.fromkeys(data["column"]))
    panels = [_forest(data[data["column"] == column], ends, width, last=column == columns[-1]) for column in columns]
    return finish(alt.vconcat(*panels, spacing=12))


def _forest(rows: pd.DataFrame, ends: tuple[float, float], width: int, *, last: bool) -> alt.LayerChart:
    import altair as alt

    mark = "(reference)" if width > NARROW else "(ref.)"
    labels = [f"{row['level']} {mark}" if row["is_reference"] else str(row["level"]) for row in rows_of(rows)]
    rows = rows.assign(label=labels)
    room = 150 if width > NARROW else 105
    y = alt.Y("label:N", sort=labels, title=None).axis(
        labelColor=INK, ticks=False, domain=False, grid=True, minExtent=room, maxExtent=room, labelLimit=room - 8
    )
    title = "Comes back this many times as fast" if last else None
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
        kept.mark_point(filled=True, size=65, opacity=1, color=BLUE).encode(x=alt.X("hazard_ratio:Q", scale=scale)),
        base.transform_filter("datum.is_reference")
        .mark_point(shape="diamond", size=60, color=MUTED, strokeWidth=1.5, opacity=1)
        .encode(x=alt.X("hazard_ratio:Q", scale=scale)),
    ]
    return layered(layers, width=width - room, height=alt.Step(21), data=rows)
