"""Tables and columns that a model cannot use, each refused with the call that can."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from churnsurv.errors import DataWarning, FormulaError, ModelSupportError
from churnsurv.models.grammar import nearest, renamed, tokens
from churnsurv.models.hierarchical.grouping import columns_of
from churnsurv.models.hierarchical.refusals import check_dates, without, written
from churnsurv.tables.cells import CellTable
from churnsurv.tables.episodes import Episodes
from churnsurv.tables.features import Baseline
from churnsurv.tables.periods import PeriodTable
from churnsurv.tables.spells import SpellTable

if TYPE_CHECKING:
    from churnsurv.models.hierarchical.model import HierarchicalModel
    from churnsurv.tables.schema import CellSchema


def check_kind(model: HierarchicalModel, table: object) -> None:
    """Refuse a table of another kind than the model learns from.

    Raises
    ------
    ModelSupportError
        With the call that makes the right one of it, and the model that fits on this one.
    """
    eaten = CellTable if model.baseline == "piecewise" else (PeriodTable, SpellTable)
    if isinstance(table, (Episodes, eaten)):
        return
    if isinstance(table, CellTable):
        raise ModelSupportError(
            f"HierarchicalModel with baseline={model.baseline!r} fits on episodes, periods or spells, and was given cells.",
            consequence="Cells hold events by period: where in its period an event fell is not in them.",
            hint=f"{written(model)}.fit(spells), or on these cells {written(model, baseline='piecewise', rounded=None)}"
            ".fit(cells)",
        )
    if isinstance(table, (PeriodTable, SpellTable)):
        check_dates(model, table.churn if isinstance(table, SpellTable) else table.spells.churn)
        kind = "periods" if isinstance(table, PeriodTable) else "spells"
        raise ModelSupportError(
            f"HierarchicalModel with baseline='piecewise' fits on cells, and was given {kind}.",
            consequence="Spells that share a period and a pattern are counted together first.",
            hint=f"{written(model)}.fit({_cells(model, kind, table)}), or {written(model, baseline='weibull')}.fit({kind})",
        )
    call = _cells(model, "spells", None) if model.baseline == "piecewise" else "spells"
    raise ModelSupportError(
        f"HierarchicalModel with baseline={model.baseline!r} fits on {'cells' if call != 'spells' else 'episodes'},"
        f" and was given {type(table).__name__}.",
        hint="spells = SpellTable.from_durations(frame, duration=…, event=…) or SpellTable.from_events(log, window, churn);"
        f" {written(model)}.fit({call})",
    )


def _cells(model: HierarchicalModel, kind: str, table: PeriodTable | SpellTable | None) -> str:
    """The call that counts periods or spells into cells, with what the model asks for."""
    months = model.calendar and (kind == "spells" or (isinstance(table, PeriodTable) and table.calendar is None))
    made = "periods" if kind == "periods" and not months else "PeriodTable.from_spells(spells)"
    made = 'PeriodTable.from_spells(spells, calendar="month")' if months else made
    return f"CellTable.from_periods({made}{', customers=True' if model.needs_customers else ''})"


def check_known(model: HierarchicalModel, schema: CellSchema, table: str) -> None:
    """Refuse names that are no column where each is close to one: with the model that was meant.

    Names that are close to none are refused where formula and groups are read.

    Raises
    ------
    FormulaError
        Naming them.
    """
    known = [column.name for column in schema.columns]
    in_formula = [text for kind, text in tokens(model.formula) if kind == "name"]
    in_groups = [
        part
        for name in (*model.slopes, *model.shape_groups)
        for part in ([name] if name in known else [part.strip() for part in name.split(":")])
    ]
    in_slopes = [text for slope in model.slopes.values() for kind, text in tokens(slope) if kind == "name"]
    names = list(dict.fromkeys((*in_formula, *in_groups, *in_slopes)))
    unknown = [name for name in names if name not in known]
    near = {name: close for name in unknown if (close := nearest(name, known)) is not None}
    if not unknown or len(near) < len(unknown):
        return
    raise FormulaError(
        f"{_places(unknown, in_formula, in_groups)}: {len(unknown)} of {len(names)} names are no column of the {table}:"
        f" {', '.join(unknown)}. Columns are: {', '.join(known)}.",
        hint=written(model, **_meant(model, near)),
        column=unknown[0],
    )


def _places(unknown: Sequence[str], in_formula: Sequence[str], in_groups: Sequence[str]) -> str:
    found = ["formula"] if any(name in in_formula for name in unknown) else []
    found += ["groups"] if any(name in in_groups or name not in in_formula for name in unknown) else []
    return " and ".join(found)


def _meant(model: HierarchicalModel, near: dict[str, str]) -> dict[str, object]:
    """Settings with other names in them."""

    def of(name: str) -> str:
        return near.get(name) or ":".join(near.get(part.strip(), part.strip()) for part in name.split(":"))

    slopes = {of(name): renamed(slope, near) for name, slope in model.slopes.items()}
    groups: object = slopes if isinstance(model.groups, Mapping) else tuple(slopes)
    shapes = tuple(of(name) for name in model.shape_groups)
    return {"formula": renamed(model.formula, near), "groups": groups, "shape_groups": shapes}


def check_bins(model: HierarchicalModel, episodes: Episodes) -> None:
    """Refuse groups that are columns of numbers without bins: their levels would be quartiles that nobody asked for.

    Raises
    ------
    ModelSupportError
        With the call that bins them.
    """
    schema, wanted = episodes.schema, tuple(dict.fromkeys((*model.slopes, *model.shape_groups)))
    columns = {schema.columns[k].name: schema.columns[k] for name in wanted for k in columns_of(name, schema)}
    bare = [name for name, column in columns.items() if column.edges is not None and name not in episodes.binned]
    if not bare:
        return
    whole = all(isinstance(one, Baseline) for one in schema.features) and schema.calendar is None
    bins = "{" + ", ".join(f"{name!r}: Quantiles(4)" for name in bare) + "}"
    call = f"Episodes.from_{'spells(spells' if whole else 'periods(periods'}, bins={bins})"
    raise ModelSupportError(
        f"{len(bare)} of {len(columns)} columns of groups are numbers without bins: {', '.join(bare)}.",
        consequence="A number has no levels of its own: it enters by the formula as a number, or by levels that you choose.",
        hint=f"{written(model)}.fit({call})",
        column=bare[0],
    )


def varying(model: HierarchicalModel, table: CellTable | Episodes) -> HierarchicalModel:
    """Return the model without groups of one level, where it says ``on_bad="drop"``; as it is where there are none.

    Raises
    ------
    FormulaError
        If a group has one level, as of a constant column in a formula.

    Warns
    -----
    DataWarning
        If groups were left out.
    """
    some = (table.stop > table.start) if isinstance(table, Episodes) else table.exposure > 0
    wanted = tuple(dict.fromkeys((*model.slopes, *model.shape_groups)))
    constant: dict[str, str] = {}
    for name in wanted:
        columns = columns_of(name, table.schema)
        codes = table.codes[some][:, list(columns)]
        if len(codes) and np.all(codes == codes[0]):
            labels = (table.schema.columns[k].labels[c] for k, c in zip(columns, codes[0], strict=True))
            constant[name] = ":".join(labels)
    if not constant:
        return model
    kept = {one: prior for one, prior in model.priors.items() if not any(one.startswith(f"{n}_") for n in constant)}
    left = replace(model, priors=kept, **cast(Any, without(model, constant)))
    told = "; ".join(f"{name} is always {level}" for name, level in constant.items())
    if model.on_bad == "drop":
        text = f"left out {len(constant)} of {len(wanted)} groups, which have one level: {told}."
        warnings.warn(text, DataWarning, stacklevel=3)
        return left
    raise FormulaError(
        f"{len(constant)} of {len(wanted)} groups have one level: {told}.",
        consequence="How far levels lie apart cannot be learnt from one: only the prior would speak.",
        hint=f'{written(left)}, or on_bad="drop" leaves such groups out by itself.',
        column=next(iter(constant)),
    )
