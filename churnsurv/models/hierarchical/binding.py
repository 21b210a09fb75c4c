"""From a model and rows with covariates to the parts of a problem: terms, groups, pieces, layout, priors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from churnsurv._typing import FloatArray, IntArray
from churnsurv.errors import ModelSupportError
from churnsurv.models.formula import bind_formula
from churnsurv.models.hierarchical.baselines import BASELINES
from churnsurv.models.hierarchical.density import Centring, LogPosterior
from churnsurv.models.hierarchical.grouping import Grouping, bind_group
from churnsurv.models.hierarchical.layout import Layout
from churnsurv.models.hierarchical.likelihood import Likelihood
from churnsurv.models.hierarchical.linear import Linear, RandomPart
from churnsurv.models.hierarchical.pieces import (
    HAZARD,
    Piece,
    effect_piece,
    group_walk_piece,
    levels_of,
    month_pieces,
    months_of,
    shape_piece,
    walk_piece,
)
from churnsurv.models.hierarchical.priors import LKJ, HalfNormal, Normal, Prior
from churnsurv.models.hierarchical.problem import Structure, Terms
from churnsurv.tables.schema import CellSchema

if TYPE_CHECKING:
    from churnsurv.models.hierarchical.model import HierarchicalModel

_LARGEST = 2000
"""Parameters beyond which the dense metric is refused: its matrix is stored, and multiplied at every step."""


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows with covariates as a model meets them.

    Parameters
    ----------
    schema : CellSchema
        Columns.
    codes : array of shape (n, n_columns)
        Levels.
    values : tuple of (array of shape (n,) or None)
        Numbers that enter as numbers; empty for cells.
    period : array of shape (n,)
        Periods.
    exposure : array of shape (n,)
        Days at risk.
    """

    schema: CellSchema
    codes: IntArray
    values: tuple[FloatArray | None, ...]
    period: IntArray
    exposure: FloatArray

    @property
    def month(self) -> IntArray:
        """Months since the year 0; zeros without a calendar."""
        if self.schema.calendar is None:
            return np.zeros(len(self.codes), np.int64)
        return months_of(self.schema.columns[-1].labels)[self.codes[:, -1]]


def bind_terms(model: HierarchicalModel, formula: str, rows: Rows) -> Terms:
    """Terms of a formula on cells: indicators against the reference of each column."""
    drop = model.on_bad == "drop"
    return Terms.plain(bind_formula(formula, rows.schema, rows.codes, rows.exposure, drop=drop))


def bind_groups(model: HierarchicalModel, rows: Rows, terms: Terms) -> dict[str, Grouping]:
    """Groups of the model, and those that only have a shape of their own."""
    slopes = dict(model.slopes)
    for name in model.shape_groups:
        slopes.setdefault(name, "1")
    return {
        name: bind_group(name, slope, rows.schema, rows.codes, rows.exposure, terms.effects, model.formula)
        for name, slope in slopes.items()
    }


def structure_of(model: HierarchicalModel, rows: Rows, terms: Terms, time_scale: float = 1.0) -> Structure:
    """Pieces and layout of a model on rows.

    Raises
    ------
    ModelSupportError
        If there are too many parameters for a dense metric.
    """
    groups = bind_groups(model, rows, terms)
    seen = rows.month[rows.exposure > 0]
    months = (int(seen.min()), int(seen.max())) if model.calendar else ()
    return assemble_structure(model, rows.schema, terms, groups, months, time_scale)


def assemble_structure(
    model: HierarchicalModel,
    schema: CellSchema,
    terms: Terms,
    groups: Mapping[str, Grouping],
    months: tuple[int, ...] = (),
    time_scale: float = 1.0,
) -> Structure:
    """Pieces and layout of a model whose terms and groups are known; no data are needed.

    Parameters
    ----------
    model : HierarchicalModel
        Specification.
    schema : CellSchema
        Columns and breaks.
    terms : Terms
        Fixed effects.
    groups : mapping of str to Grouping
        Groups, and those that only have a shape of their own.
    months : tuple of int
        First and last month of the data since the year 0; empty without a calendar.
    time_scale : float
        Time, in days, that a baseline in continuous time is measured in.

    Raises
    ------
    ModelSupportError
        If there are too many parameters for a dense metric.
    """
    _check_size(_size_of_walks(model, schema, groups, months))
    pieces = sorted(_pieces(model, schema, groups, months), key=lambda piece: piece.block.n_terms > 1)
    layout = Layout(_fixed_sizes(model, terms), tuple(p.block for p in pieces), model.frailty is not None)
    _check_size(layout.n_positions)
    return Structure(layout, terms, groups, tuple(pieces), months, model.cure, time_scale)


def _size_of_walks(
    model: HierarchicalModel, schema: CellSchema, groups: Mapping[str, Grouping], months: Sequence[int]
) -> int:
    """Steps of all walks: their matrices grow with the square, so they are counted before any is made."""
    levels = sum(groups[name].n_levels for name in model.shape_groups)
    steps = schema.n_periods - 1 if model.baseline == "piecewise" else 0
    return steps * (1 + levels) + (months[1] - months[0] if months else 0)


def _pieces(
    model: HierarchicalModel, schema: CellSchema, groups: Mapping[str, Grouping], months: Sequence[int]
) -> list[Piece]:
    found = [walk_piece(schema)] if model.baseline == "piecewise" and schema.n_periods > 1 else []
    found += [effect_piece(groups[name]) for name in model.slopes]
    for name in model.shape_groups:
        if model.baseline == "piecewise":
            found.append(group_walk_piece(groups[name], schema))
        else:
            found.append(shape_piece(groups[name], BASELINES[model.baseline].shapes[-1]))
    return found + (month_pieces(months[1] - months[0] + 1) if months else [])


def _fixed_sizes(model: HierarchicalModel, terms: Terms) -> dict[str, int]:
    baseline = BASELINES.get(model.baseline)
    sizes = {"intercept": 1} if baseline is None or baseline.has_intercept else {}
    if len(terms):
        sizes["coef"] = len(terms)
    sizes |= {} if baseline is None else dict.fromkeys(baseline.shapes, 1)
    return sizes | ({"cure_logit": 1} if model.cure else {})


def _check_size(n_parameters: int) -> None:
    if n_parameters > _LARGEST:
        raise ModelSupportError(
            f"the model would have {n_parameters:,} parameters; at most {_LARGEST:,} are supported.",
            consequence=f"Its dense metric alone would take {8 * n_parameters**2 / 2**30:,.1f} GiB and every step as many "
            "multiplications.",
            hint="join rare levels, or use fewer groups.",
        )


def default_priors(model: HierarchicalModel, structure: Structure, log_rate: float) -> dict[str, Prior]:
    """Weakly informative priors, scaled to the data by their overall rate only."""
    fixed = structure.layout.fixed
    priors: dict[str, Prior] = {"intercept": Normal(round(log_rate, 6), 2.0)} if "intercept" in fixed else {}
    if "coef" in fixed:
        priors["coef"] = Normal(0.0, 1.0)
    if model.baseline in BASELINES:
        priors |= BASELINES[model.baseline].default_priors()
    if "cure_logit" in fixed:
        priors["cure_logit"] = Normal(-1.5, 1.5)
    for piece in structure.pieces:
        priors[f"{piece.name}_sd"] = HalfNormal(_spread(piece))
        if piece.block.n_terms > 1:
            priors[f"{piece.name}_correlation"] = LKJ(2.0)
    if structure.layout.frailty:
        priors["frailty_sd"] = HalfNormal(1.0)
    return priors


def _spread(piece: Piece) -> float:
    """Scale of the default prior of a piece's standard deviation."""
    if piece.name == "walk":
        return 1.0
    if piece.name == "month":
        return 0.2
    return 0.5 if piece.name.endswith("_effect") else 0.3


def linear_of(
    structure: Structure, rows: Rows, predictor: str, *, intercept: str | None, names: Sequence[str]
) -> Linear:
    """Linear predictor of rows.

    Parameters
    ----------
    structure : Structure
        Where each parameter lies.
    rows : Rows
        Covariates.
    predictor : str
        ``hazard`` or a shape parameter.
    intercept : str or None
        Fixed parameter that every row has.
    names : sequence of str
        Random effects to be added, of those that go to this predictor.
    """
    layout, terms = structure.layout, structure.terms
    columns, x = [], []
    if intercept is not None:
        columns.append(np.array([layout.place(intercept).start]))
        x.append(np.ones((len(rows.codes), 1)))
    if predictor == HAZARD and len(terms) and "coef" in names:
        columns.append(np.arange(layout.n_fixed)[layout.place("coef")])
        x.append((terms.effects.matrix(rows.codes, rows.values) - terms.centre) / terms.scale)
    parts = []
    for piece, some in zip(structure.pieces, layout.random_places, strict=True):
        if piece.predictor == predictor and piece.name in names:
            parts.append(_part(structure, piece, some, rows))
    return Linear(
        np.ascontiguousarray(np.concatenate(x, axis=1)) if x else np.zeros((len(rows.codes), 0)),
        np.concatenate(columns) if columns else np.zeros(0, np.int64),
        tuple(parts),
        layout.n_fixed,
        layout.n_random,
    )


def _part(structure: Structure, piece: Piece, some: slice, rows: Rows) -> RandomPart:
    first = structure.months[0] if structure.months else 0
    level = levels_of(piece, structure.groups, rows.codes, rows.period, rows.month, first)
    own = piece.name == f"{piece.group}_effect"
    value = structure.group_values(piece.group, rows.codes, rows.values, standard=True) if own else None
    return RandomPart(some.start, piece.block.size, level, value, piece.basis)


def posterior_of(likelihood: Likelihood, structure: Structure, priors: Mapping[str, Prior]) -> LogPosterior:
    """Likelihood and priors as one density, in plain coordinates."""
    layout = structure.layout
    sd_priors = []
    for piece in structure.pieces:
        sd_priors += [priors[f"{piece.name}_sd"]] * piece.block.n_terms
    sd_priors += [priors["frailty_sd"]] if layout.frailty else []
    concentrations = [prior.concentration for prior in priors.values() if isinstance(prior, LKJ)]
    return LogPosterior(
        likelihood,
        layout,
        Centring.plain(layout),
        {name: priors[name] for name in layout.fixed},
        tuple(sd_priors),
        tuple(concentrations),
    )
