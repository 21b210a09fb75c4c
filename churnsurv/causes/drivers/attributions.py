"""Drivers of tree classifiers: Shapley values of each customer's hazard in her period, by feature."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from churnsurv._typing import FloatArray
from churnsurv.causes.drivers.classifiers import LOG_ODDS
from churnsurv.causes.drivers.columns import PeriodRows, SeenColumns, training_columns
from churnsurv.causes.drivers.contributions import check_one_cause, reliability
from churnsurv.causes.drivers.rows import customer_ids, driver_rows
from churnsurv.causes.drivers.table import PROBABILITY, Contributions, churn_sign
from churnsurv.errors import ModelSupportError

if TYPE_CHECKING:
    from churnsurv.models.base import PatternRows, SurvivalFit

__all__ = ["Attributions", "attributions"]

_BASELINE = "the average of the trees over what they learnt from"
_ROWS_AT_ONCE = 16_384
_CLOSE = 1e-6
_CLOSE_IN_SINGLE = 1e-5
"""XGBoost computes in single precision."""

_INSTALL = 'pip install "churnsurv[explain]"'
_TREES = (
    "decision trees, random forests, extra trees, gradient boosting and HistGradientBoosting of scikit-learn, XGBoost and"
    " LightGBM"
)


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Attributions(Contributions):
    """Shapley values of each customer's hazard in her period; made by :func:`attributions`.

    Parameters
    ----------
    base : float
        Average of the trees over what they learnt from, on the same scale: with the sum of a customer's terms it is what
        the classifier says of her.
    """

    base: float

    @property
    def output(self) -> FloatArray:
        """What the classifier says of each customer's period, on the scale of the terms, shape (n,)."""
        return self.base + self.whole


def attributions(fit: SurvivalFit, customers: Any) -> Attributions:
    r"""What each column adds to what trees say of each customer's hazard in the period that she has reached.

    Trees do not add up by column, so that what is common to several columns is shared out among them: the Shapley value of
    a column is its average effect over all orders in which columns become known [1]_. Columns that are not known yet are
    averaged over the training rows that go each way at a split (path-dependent TreeSHAP [2]_). With :math:`f` the output of
    the trees and :math:`\phi_0` its average,

    .. math:: f(x_i) = \phi_0 + \sum_T \phi_{iT} ,

    which is checked for every customer. Columns that the preparation made of one feature (indicators of its levels, of a
    missing number) are summed. The clock is a column of the trees like any other: ``period`` is a term of its own.

    Shapley values are associations, of the model more than of the world: of two columns that say the same, trees may use
    either. There is no uncertainty: bounds are NaN.

    Boosting is told on the log odds of the event in the period. Single trees and forests vote with probabilities, which
    are the scale then, and have no ratio of hazards.

    Cost: customers × trees × leaves × depth².

    Parameters
    ----------
    fit : DiscreteHazardFit
        Of trees: decision trees, random forests and boosting, of scikit-learn, XGBoost or LightGBM.
    customers : SpellTable, OpenSpells, Episodes or PersonPeriods
        As for :func:`~churnsurv.causes.drivers.contributions.contributions`. Customers beyond the last period that was learnt have
        NaN in every term; person-periods stay in their own.

    Returns
    -------
    Attributions
        ``.frame()``, ``.top(k)`` and ``.total()`` as of contributions, and ``.base``.

    Raises
    ------
    ModelSupportError
        If shap is not installed, the fit is none of trees, a column that the trees see is made of several features, or the
        values do not add up to what the trees say.
    ArgumentError, EmptyDataError, CellMismatchError, DefinitionError, FeatureError
        As for contributions.

    References
    ----------
    .. [1] Shapley, L. S. (1953). A value for n-person games. *Contributions to the Theory of Games* II, 307–317.
    .. [2] Lundberg, S. M. et al. (2020). From local explanations to global understanding with explainable AI for trees.
       *Nature Machine Intelligence* 2, 56–67, algorithm 1.

    Examples
    --------
    >>> from churnsurv.datasets import simulate_shop
    >>> from churnsurv import DiscreteHazardModel, PeriodTable, Silence, SpellTable, Value
    >>> from sklearn.tree import DecisionTreeClassifier
    >>> shop = simulate_shop(200, rng=1, closure_hazard=0.0)
    >>> spells = SpellTable.from_events(shop.log, shop.window, Silence(("order",), 90))
    >>> periods = PeriodTable.from_spells(spells, features=[Value("order", "country")])
    >>> told = attributions(DiscreteHazardModel(DecisionTreeClassifier(max_depth=2)).fit(periods), spells)
    >>> told.terms, told.scale
    (('value_order_country', 'period'), 'probability of the event in a period')
    """
    from churnsurv.models.discrete_fit import DiscreteHazardFit

    check_one_cause(fit, "attributions")
    if not isinstance(fit, DiscreteHazardFit):
        raise ModelSupportError(
            f"{type(fit).__name__} is no fit of trees.",
            hint="contributions(fit, customers) is exact for Cox, Weibull and hierarchical fits.",
        )
    trees = _Trees.of(fit)
    return Attributions.joined([_table(fit, trees, rows) for rows in driver_rows(fit, customers)])


def _shap() -> ModuleType:
    """The library that computes the values.

    Raises
    ------
    ModelSupportError
        If it is not installed.
    """
    try:
        import shap
    except ImportError as error:
        raise ModelSupportError(
            "attributions need the library shap, which is not installed.", hint=f"{_INSTALL}."
        ) from error
    found: ModuleType = shap
    return found


@dataclass(frozen=True, eq=False)
class _Trees:
    """Trees, with what explains them.

    Parameters
    ----------
    fit : DiscreteHazardFit
        The fit.
    seen : SeenColumns
        Columns that the trees see, by term.
    explainer : object
        shap's, of the trees.
    base : float
        Average output.
    scale : str
        Of the output.
    """

    fit: Any
    seen: SeenColumns
    explainer: Any
    base: float
    scale: str

    @classmethod
    def of(cls, fit: Any) -> _Trees:
        """Take the trees out of a fit, and make sure that they are some."""
        shap, seen = _shap(), SeenColumns.of(fit)
        name = type(seen.estimator).__name__
        try:
            explainer = shap.TreeExplainer(seen.estimator, feature_perturbation="tree_path_dependent")
        except shap.utils._exceptions.InvalidModelError as error:
            raise _no_trees(name) from error
        _explained(explainer, seen.transform(training_columns(fit, fit.rows.take(np.zeros(1, np.int64)))))
        base = np.atleast_1d(np.asarray(explainer.expected_value, np.float64))  # of XGBoost known once it was asked
        votes = len(base) > 1
        scale = PROBABILITY if votes else LOG_ODDS
        return cls(fit, seen, explainer, float(base[_place(seen.estimator) if votes else 0]), scale)

    def values(self, rows: PeriodRows) -> FloatArray:
        """Shapley values by term, shape (n, n_terms); checked to add up.

        Raises
        ------
        ModelSupportError
            If they do not.
        """
        found = []
        for start in range(0, len(rows.frame), _ROWS_AT_ONCE):
            seen = self.seen.transform(rows.frame.iloc[start : start + _ROWS_AT_ONCE])
            raw = _explained(self.explainer, seen)
            raw = raw[..., _place(self.seen.estimator)] if raw.ndim == 3 else raw
            self._check_sum(raw, _output(self.seen.estimator, seen, self.scale))
            found.append(self.seen.by_term(raw.astype(np.float64)))
        return np.concatenate(found)

    def _check_sum(self, raw: np.ndarray[Any, Any], output: FloatArray) -> None:
        """Refuse values that do not add up to what the trees say."""
        values = raw.astype(np.float64)
        apart = np.abs(self.base + values.sum(axis=1) - output)
        limit = _CLOSE_IN_SINGLE if raw.dtype == np.float32 else _CLOSE
        wrong = apart > limit * (1.0 + np.abs(self.base) + np.abs(values).sum(axis=1))
        if wrong.any():
            raise ModelSupportError(
                f"the values of {int(wrong.sum()):,} of {len(wrong):,} customers do not add up to what the"
                f" {type(self.seen.estimator).__name__} says: they are up to {apart.max():.2g} away.",
                consequence="Contributions that do not add up are of another model.",
                hint=f"trees that add up are: {_TREES}.",
            )


def _explained(explainer: Any, seen: Any) -> np.ndarray[Any, Any]:
    """Values of columns, shape (n, p), or (n, p, 2) by class."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of LightGBM: that an older shap gave a list
        return np.asarray(explainer.shap_values(seen, check_additivity=False))


def _no_trees(name: str) -> ModelSupportError:
    return ModelSupportError(
        f"{name} is made of no trees whose values are known.",
        hint=f"attributions are of {_TREES}; contributions(fit, customers) of LogisticRegression.",
    )


def _place(estimator: Any) -> int:
    """Position of the event among the classes."""
    return list(estimator.classes_).index(1)


def _output(estimator: Any, seen: Any, scale: str) -> FloatArray:
    """What trees say of rows, shape (n,)."""
    if scale == PROBABILITY:
        return np.asarray(estimator.predict_proba(seen), np.float64)[:, _place(estimator)]
    if hasattr(estimator, "decision_function"):
        return np.asarray(estimator.decision_function(seen), np.float64)
    if hasattr(estimator, "get_booster"):
        return np.asarray(estimator.predict(seen, output_margin=True), np.float64)
    return np.asarray(estimator.predict(seen, raw_score=True), np.float64)


def _table(fit: Any, trees: _Trees, rows: PatternRows) -> Attributions:
    at = PeriodRows.of(fit, rows)
    values = trees.values(at)
    values[at.beyond] = np.nan
    nothing, whole = np.full_like(values, np.nan), values.sum(axis=1)
    return Attributions(
        customer_id=customer_ids(rows),
        terms=trees.seen.names,
        values=at.texts(trees.seen.names),
        contribution=values,
        lower=nothing,
        upper=nothing,
        whole=whole,
        whole_lower=np.full_like(whole, np.nan),
        whole_upper=np.full_like(whole, np.nan),
        scale=trees.scale,
        event=fit.info.cause or fit.schema.causes[0],
        churn_sign=churn_sign(fit.schema, fit.info.cause),
        baseline=_BASELINE,
        ci_prob=float("nan"),
        caveats=(*reliability(fit), "Shapley values have no uncertainty: they have no bounds."),
        base=trees.base,
    )
