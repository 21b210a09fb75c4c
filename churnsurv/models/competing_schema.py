"""The schema that serves the fits of several causes: every column that one of them asks for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from churnsurv.errors import CellMismatchError, DefinitionError
from churnsurv.tables.features import Feature
from churnsurv.tables.schema import CellSchema, PatternColumn, bin_labels


def common_schema(schemas: Mapping[str, CellSchema]) -> CellSchema:
    """One schema that asks for every column which some fit needs.

    Parameters
    ----------
    schemas : mapping of str to CellSchema
        By cause.

    Returns
    -------
    CellSchema
        Breaks of all, up to the first that ends; columns of all, where bins differ the cuts of both within the range
        that both have seen.

    Raises
    ------
    DefinitionError
        If the fits follow different definitions, zones or calendars.
    CellMismatchError
        If features of one name are different features, or were taken at different moments.
    """
    first = next(iter(schemas.values()))
    for name in ("churn", "timezone", "calendar"):
        _check_equal(name, {cause: getattr(schema, name) for cause, schema in schemas.items()})
    moments = {cause: schema.as_of for cause, schema in schemas.items() if schema.columns}
    if len(set(moments.values())) > 1:
        raise CellMismatchError(
            f"the fits took their features at different moments: {_listed(moments)}.",
            consequence="A customer has one history, and one moment at which it is looked at.",
            hint="make all fits from one PeriodTable: cells.with_cause(…), episodes.with_cause(…).",
        )
    last = min(schema.breaks[-1] for schema in schemas.values())
    edges = sorted({edge for schema in schemas.values() for edge in schema.breaks if edge <= last})
    reaches = [schema.reach for schema in schemas.values() if schema.reach is not None]
    features = _features(schemas)
    return replace(
        first,
        breaks=tuple(edges),
        columns=_columns(list(schemas.values()), features),
        features=tuple(features.values()),
        as_of=next(iter(moments.values()), first.as_of),
        reach=min(reaches, default=None),
    )


def _check_equal(name: str, found: Mapping[str, object]) -> None:
    if any(one != next(iter(found.values())) for one in found.values()):
        raise DefinitionError(
            f"the fits follow different settings of {name}: {_listed(found)}.",
            consequence="Their clocks would mean different things; no probability could be made of them.",
            hint="make all fits from one table: cells.with_cause(…), episodes.with_cause(…).",
        )


def _listed(found: Mapping[str, object]) -> str:
    return "; ".join(f"{cause}: {value}" for cause, value in found.items())


def _features(schemas: Mapping[str, CellSchema]) -> dict[str, Feature]:
    features: dict[str, Feature] = {}
    for schema in schemas.values():
        for feature in schema.features:
            if features.setdefault(feature.name, feature) != feature:
                raise CellMismatchError(
                    f"{feature.name!r} is {features[feature.name]} for one cause and {feature} for another.",
                    hint="give one of them another name=.",
                )
    return features


def _columns(schemas: Sequence[CellSchema], features: Mapping[str, Feature]) -> tuple[PatternColumn, ...]:
    named: dict[str, list[PatternColumn]] = {}
    for schema in schemas:
        for column in schema.columns:
            named.setdefault(column.name, []).append(column)
    return tuple(_common_column(columns, features.get(name)) for name, columns in named.items())


def _common_column(columns: Sequence[PatternColumn], feature: Feature | None) -> PatternColumn:
    first = columns[0]
    if all(column == first for column in columns):
        return first
    if len({(column.edges is None, column.blank) for column in columns}) > 1:
        raise CellMismatchError(
            f"{first.name!r} is a text for one cause and a number for another, or blank in different ways.",
            hint="make all fits from one PeriodTable.",
        )
    blank = (first.blank,) if any(first.blank in column.labels for column in columns) else ()
    if first.edges is None:
        known = {label for column in columns for label in column.labels} - {first.blank}
        return replace(first, labels=(*sorted(known), *blank))
    edges = _common_edges(first.name, [column.edges for column in columns if column.edges])
    same = all(column.edges == first.edges for column in columns)
    bins = (
        first.labels[: len(edges) - 1] if same else bin_labels(edges, integer=feature is not None and feature.integer)
    )
    return replace(first, labels=(*bins, *blank), edges=edges)


def _common_edges(name: str, edges: Sequence[tuple[float, ...]]) -> tuple[float, ...]:
    low, high = max(one[0] for one in edges), min(one[-1] for one in edges)
    if low >= high:
        raise CellMismatchError(
            f"the fits have seen {name!r} in ranges that do not meet: {edges}.",
            hint="make all fits from one PeriodTable.",
        )
    return (low, *sorted({edge for one in edges for edge in one if low < edge < high}), high)
