"""What a composition refuses before any work: names that clash, tables that do not hold what it is made of, settings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy as np

from churnsurv._validate import check_count
from churnsurv.errors import ArgumentError, DataTypeError, FormulaError, ModelSupportError
from churnsurv.models.cox_rows import customers
from churnsurv.models.grammar import check_formula
from churnsurv.models.hierarchical.grouping import RESERVED, columns_of
from churnsurv.tables.episodes import Episodes
from churnsurv.tables.features import Baseline
from churnsurv.tables.window import DAY_US

if TYPE_CHECKING:
    from churnsurv.models.hierarchical.model import HierarchicalModel
    from churnsurv.models.hierarchical.problem import Structure
    from churnsurv.tables.cells import CellTable
    from churnsurv.tables.churn import ChurnDefinition
    from churnsurv.tables.schema import CellSchema

FEWEST_WEIGHED = 100
"""Draws of an approximation below which the tail of their weights cannot be judged."""
_BEYOND = "beyond the last break"


def written(model: HierarchicalModel, **changes: object) -> str:
    """The call that makes a model, with some settings changed; defaults are not written.

    Examples
    --------
    >>> from churnsurv.models.hierarchical.model import HierarchicalModel
    >>> written(HierarchicalModel("plan", frailty="gamma"), groups=("country",))
    "HierarchicalModel('plan', groups=('country',), frailty='gamma')"
    """
    settings: dict[str, Any] = {one.name: getattr(model, one.name) for one in fields(model)} | changes
    default = type(model)()
    parts = [repr(settings.pop("formula"))]
    parts += [f"{name}={value!r}" for name, value in settings.items() if value != getattr(default, name)]
    return f"{type(model).__name__}({', '.join(parts)})"


def check_names(model: HierarchicalModel, schema: CellSchema, table: str) -> None:
    """Refuse columns that are not there, stand twice, or have a name that every posterior uses.

    Parameters
    ----------
    model : HierarchicalModel
        Formula and groups.
    schema : CellSchema
        Columns.
    table : str
        What the columns are columns of: ``cells``, ``rows``.

    Raises
    ------
    FormulaError
        Naming them.
    """
    in_formula = check_formula(model.formula, schema, table=table)
    for setting, names in (("groups", tuple(model.slopes)), ("shape_groups", model.shape_groups)):
        _check_once(model, setting, names, schema, table)
    wanted = tuple(dict.fromkeys((*model.slopes, *model.shape_groups)))
    column = {name: schema.columns[columns_of(name, schema)[0]].name for name in wanted}
    both = [name for name in wanted if len(columns_of(name, schema)) == 1 and column[name] in in_formula]
    if both:
        rest = without(model, both)
        raise FormulaError(
            f"{len(both)} of {len(wanted)} groups stand twice, in formula and groups: {', '.join(both)}.",
            consequence="An effect of each level and a draw around their average are the same effect twice.",
            hint=written(model, **rest),
        )
    reserved = [name for name in wanted if name in RESERVED]
    if reserved:
        raise _clash(reserved, len(wanted), schema)


def _check_once(model: HierarchicalModel, setting: str, names: Sequence[str], schema: CellSchema, table: str) -> None:
    """The same columns are one group, in whatever order and with whatever blanks they are written."""
    made_of = [tuple(sorted(columns_of(name, schema, table=table))) for name in names]
    kept: dict[tuple[int, ...], str] = {}
    for name, columns in zip(names, made_of, strict=True):
        kept.setdefault(tuple(dict.fromkeys(columns)), name)
    if len(kept) == len(names) and all(len(set(columns)) == len(columns) for columns in made_of):
        return
    single = tuple(_plain_name(name, schema) for name in kept.values())
    own: object = single
    if setting == "groups" and isinstance(model.groups, Mapping):
        own = {new: model.slopes[old] for new, old in zip(single, kept.values(), strict=True)}
    twice = [name for name in names if name not in single or list(names).count(name) > 1]
    raise FormulaError(
        f"{setting}: {len(twice)} of {len(names)} name columns that stand twice: {', '.join(twice)}.",
        consequence="One effect would be added up of two, each with a spread of its own.",
        hint=written(model, **{setting: own}),
    )


def _plain_name(name: str, schema: CellSchema) -> str:
    return ":".join(dict.fromkeys(schema.columns[k].name for k in columns_of(name, schema)))


def without(model: HierarchicalModel, names: Collection[str]) -> dict[str, object]:
    """Groups of a model but for some."""
    slopes = {name: slope for name, slope in model.slopes.items() if name not in names}
    groups: object = slopes if isinstance(model.groups, Mapping) else tuple(slopes)
    return {"groups": groups, "shape_groups": tuple(name for name in model.shape_groups if name not in names)}


def _clash(names: Sequence[str], n_groups: int, schema: CellSchema) -> FormulaError:
    """Groups whose names the posterior needs for something else."""
    taken = {column.name for column in schema.columns} | RESERVED
    name = schema.columns[columns_of(names[0], schema)[0]].name
    new = f"{name}_column"
    while new in taken:
        new += "_"
    feature = next((one for one in schema.features if one.name == name and not isinstance(one, Baseline)), None)
    call = f"frame = frame.rename(columns={{{name!r}: {new!r}}})"
    call = call if feature is None else f"{type(feature).__name__}(…, name={new!r})"
    return FormulaError(
        f"{len(names)} of {n_groups} groups have a name that the posterior uses itself: {', '.join(names)}.",
        consequence="Two different things would have one name in the posterior, and it could not be put together.",
        hint=call,
        column=name,
    )


def check_structure(structure: Structure, schema: CellSchema) -> None:
    """Refuse groups whose name is that of a variable of the posterior, or of one of its dims.

    Raises
    ------
    FormulaError
        Naming the groups.
    """
    made = [
        (piece.group, piece.name + end)
        for piece in structure.pieces
        for end in ("", "_sd", *(("_correlation",) if piece.block.n_terms > 1 else ()))
    ]
    dims = [(name, name + end) for name in structure.groups for end in ("", "_term", "_pair")]
    known = {name for _, name in made}
    own = [*structure.layout.fixed, *(name for name in structure.variables() if name not in known), "term"]
    own += [dim for piece in structure.pieces if not piece.group for dim in piece.dims]
    owners = set(made) | set(dims) | {("", name) for name in own}
    times = Counter(name for _, name in owners)
    involved = [group for group in structure.groups if any(o == group and times[name] > 1 for o, name in owners)]
    named = [group for group in involved if times[group] > 1] or involved
    if named:
        raise _clash(named, len(structure.groups), schema)


def check_composition(model: HierarchicalModel, table: CellTable | Episodes) -> None:
    """Refuse a table that does not hold what the composition is made of.

    Raises
    ------
    ModelSupportError, FormulaError
        Naming what is missing.
    """
    what, schema = "a frailty" if model.frailty else "cure", table.schema
    on_cells = not isinstance(table, Episodes)
    if model.needs_customers and not isinstance(table, Episodes) and table.customers is None:
        raise ModelSupportError(
            f"{what} is about customers, and these cells do not say which time at risk is whose.",
            hint="CellTable.from_periods(periods, customers=True)",
        )
    if model.needs_customers and schema.as_of == "landmark":
        raise ModelSupportError(
            f"{what} is about a customer's whole history, and rows at landmarks leave out what lies between them.",
            hint="fit on PeriodTable.from_spells(…).",
        )
    if model.calendar and schema.calendar is None:
        check_dates(model, schema.churn)
        made, ends = (
            ("CellTable", ", customers=True" if model.needs_customers else "") if on_cells else ("Episodes", "")
        )
        raise ModelSupportError(
            f"calendar=True is about months, and these {'cells' if on_cells else 'rows'} are not split on them.",
            hint=f'{made}.from_periods(PeriodTable.from_spells(spells, calendar="month"){ends})',
        )
    month = schema.columns[-1].name if model.calendar else None
    if month in (*check_formula(model.formula, schema), *model.slopes, *model.shape_groups):
        raise FormulaError(
            "the month stands in the formula or among the groups, and calendar=True makes a walk of it.",
            hint=f"leave {month} out of both.",
        )
    if model.rounded is not None and on_cells:
        raise ModelSupportError(
            "cells count half of the unit of an event already, and hold no times of events.",
            hint="leave rounded= out, or fit on Episodes.from_spells(spells).",
        )
    if model.cure and not schema.churn.on_tenure:
        _check_reach(model, table)
        _check_entry(table)


def check_dates(model: HierarchicalModel, churn: ChurnDefinition) -> None:
    """Refuse months where there are no dates.

    Raises
    ------
    ModelSupportError
        With the model that does without.
    """
    if model.calendar and getattr(churn, "origin", "") == "stated":
        raise ModelSupportError(
            "calendar=True is about months, and these spells are durations, which carry no dates.",
            consequence="In which month somebody was at risk is not known of any of them.",
            hint=f"{written(model, calendar=False)}, or spells with dates: SpellTable.from_events(log, window, churn).",
        )


def _check_reach(model: HierarchicalModel, table: CellTable | Episodes) -> None:
    """A return after the last break proves life, and time at risk there is in no row: the two must not be told apart."""
    days, events, rest = _beyond(model, table)
    if days <= 0:
        return
    last, as_of = table.schema.breaks[-1], "spell" if _late(table)[0] else table.schema.as_of
    whole = float(table.exposure.sum()) + rest[0]
    n_events = (int((table.event > 0).sum()) if isinstance(table, Episodes) else int(table.n_events.sum())) + rest[1]
    raise ModelSupportError(
        f"cure=True on silences, and {days:,.0f} of {whole:,.0f} days at risk and {events:,} of {n_events:,} events lie"
        f" beyond the last break, {last:g} days.",
        consequence="Who came back after it counts as one who had not left, and who is silent still as if nobody came back"
        " after it: next to no one would seem to have left for good.",
        hint=_periods(table, f"breaks=[*{_called(table)}.schema.breaks, spells.longest()]", as_of),
        count=events,
        total=n_events,
    )


def _beyond(model: HierarchicalModel, table: CellTable | Episodes) -> tuple[float, int, tuple[float, int]]:
    """Days and events beyond the last break, and those of them, with all others that are in no row, that no row holds."""
    out = [part for part in table.unallocated if part.reason.startswith(_BEYOND)]
    days, events = sum(part.exposure for part in out), sum(sum(part.n_events) for part in out)
    rest = (sum(p.exposure for p in table.unallocated), sum(sum(p.n_events) for p in table.unallocated))
    if isinstance(table, Episodes) and model.baseline == "piecewise":
        last = table.schema.breaks[-1]
        late = table.stop > last + 0.5 / DAY_US
        days += float(np.sum(table.stop[late] - np.maximum(table.start[late], last)))
        events += int(np.sum(table.event[late] > 0))
    return days, events, rest


def _check_entry(table: CellTable | Episodes) -> None:
    """Who left for good in the time before entry is there at entry too, silent: that time is not lived through by all."""
    late, n, days = _late(table)
    what = f"{late:,} of {n:,} " + ("spells come" if isinstance(table, Episodes) else "customers have spells that come")
    if not late:
        return
    raise ModelSupportError(
        f"cure=True on silences, and {what} in late: {days:,.0f} days of them are in no row.",
        consequence="Those days would count as lived through by someone who had not left, and one who has is silent then too:"
        " the share that has left for good would come out wrong.",
        hint=_periods(table, "breaks=" + _called(table) + ".schema.breaks", "spell"),
        count=late,
        total=n,
    )


def _late(table: CellTable | Episodes) -> tuple[int, int, float]:
    """Spells of rows, or customers of cells, with time before their first row; all of them; and the days of it."""
    if not isinstance(table, Episodes):
        if table.customers is None:
            return 0, 0, 0.0
        late = int(np.sum(np.diff(table.customers.before_indptr) > 0))
        return late, table.customers.n_customers, float(table.customers.before_exposure.sum())
    cluster = customers(table.customer_id)
    order = np.lexsort((table.start, table.spell, cluster))
    first = np.ones(len(order), bool)
    first[1:] = (np.diff(cluster[order]) != 0) | (np.diff(table.spell[order]) != 0)
    entry = table.start[order][first]
    return int(np.sum(entry > 0)), len(entry), float(entry.sum())


def _called(table: CellTable | Episodes) -> str:
    return "episodes" if isinstance(table, Episodes) else "cells"


def _periods(table: CellTable | Episodes, breaks: str, as_of: str) -> str:
    """The call that makes the table anew, with other breaks or another moment of the features."""
    name, schema = _called(table), table.schema
    parts = ["spells", breaks]
    parts += [f"features={name}.schema.features"] if schema.features else []
    parts += [f'as_of="{as_of}"'] if schema.as_of != "spell" else []
    parts += [f'calendar="{schema.calendar}"'] if schema.calendar else []
    made = f"PeriodTable.from_spells({', '.join(parts)})"
    return f"Episodes.from_periods({made})" if name == "episodes" else f"CellTable.from_periods({made}, customers=True)"


def check_drawing(rng: object, draws: object, tune: object, chains: object, target_accept: object, method: str) -> None:
    """Refuse settings of :meth:`HierarchicalModel.fit` that nothing can be drawn with.

    Raises
    ------
    DataTypeError
        If one is no number of its kind.
    ArgumentError
        If one lies outside of what it can be.
    """
    check_seed(rng)
    n_draws, n_chains = check_count(draws, "draws"), check_count(chains, "chains")
    check_count(tune, "tune", minimum=0)
    hint = "fit(table, target_accept=0.9)"
    if isinstance(target_accept, (bool, np.bool_)) or not isinstance(target_accept, (int, float, np.floating)):
        raise DataTypeError(f"`target_accept`={target_accept!r} is not a number.", column="target_accept", hint=hint)
    if not 0 < target_accept < 1:
        raise ArgumentError(
            f"`target_accept`={target_accept!r} is not strictly between 0 and 1.",
            column="target_accept",
            consequence="It is the share of steps that the sampler aims to accept.",
            hint=hint,
        )
    if method == "laplace" and n_draws * n_chains < FEWEST_WEIGHED:
        raise ArgumentError(
            f"draws={n_draws} of chains={n_chains} make {n_draws * n_chains} draws; an approximation needs"
            f" {FEWEST_WEIGHED} at least.",
            column="draws",
            consequence="Their weights tell whether the approximation can be relied upon, and fewer cannot tell.",
            hint='fit(table, method="laplace", draws=1000)',
        )


def check_seed(rng: object) -> int:
    """Return the seed of a fit: a whole number >= 0, which is stored with it.

    Raises
    ------
    DataTypeError
        If it is not a whole number.
    ArgumentError
        If it is negative.

    Examples
    --------
    >>> check_seed(np.int64(3))
    3
    """
    if isinstance(rng, (bool, np.bool_)) or not isinstance(rng, (int, np.integer)):
        raise DataTypeError(
            f"`rng`={rng!r} is not a seed.",
            column="rng",
            consequence="The seed is kept with the fit, so that the same draws can be made again.",
            hint="fit(table, rng=0)",
        )
    if rng < 0:
        raise ArgumentError(f"`rng`={rng!r} is negative; a seed is not.", column="rng", hint="fit(table, rng=0)")
    return int(rng)
