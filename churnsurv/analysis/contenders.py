"""Models that can be compared by name: what each is, and the table that it learns from."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from churnsurv.analysis.covariates import RIDGE
from churnsurv.analysis.settings import MODELS, Analysis
from churnsurv.errors import ArgumentError
from churnsurv.models.grammar import nearest
from churnsurv.tables.churn import Silence

if TYPE_CHECKING:
    from churnsurv.risk.recipes import Recipe

LANDMARK: Final = ":landmark"
"""Behind a name: the same model on what is known at landmarks, and not when the spell opened."""

_RULE_SHARE: Final = 0.5
"""Of the silence that defines churn, after which the rule gives a customer up."""

_CLASSIFIERS: Final[dict[str, tuple[str, str, dict[str, Any]]]] = {
    "logistic": ("sklearn.linear_model", "LogisticRegression", {"max_iter": 1000}),
    "tree": ("sklearn.tree", "DecisionTreeClassifier", {"min_samples_leaf": 200}),
    "forest": ("sklearn.ensemble", "RandomForestClassifier", {"n_estimators": 200, "min_samples_leaf": 100}),
    "boosting": (
        "sklearn.ensemble",
        "HistGradientBoostingClassifier",
        {"max_iter": 500, "learning_rate": 0.05, "max_leaf_nodes": 15},
    ),
    "xgboost": ("xgboost", "XGBClassifier", {"n_estimators": 500, "learning_rate": 0.05, "max_depth": 4}),
    "lightgbm": (
        "lightgbm",
        "LGBMClassifier",
        {"n_estimators": 500, "learning_rate": 0.05, "num_leaves": 15, "verbose": -1},
    ),
}
"""Classifiers as hazard models: module, class and settings that are usual for tables of so few columns."""

_BOOSTING: Final = ("boosting", "xgboost", "lightgbm")
_HELD_BACK: Final = 0.1
"""Share of the latest rows on which boosting stops."""

_TODAY: Final = ("rule", "classifier")
"""What most shops do today."""

CONTENDERS: Final = (*_TODAY, *_CLASSIFIERS, "cox", "weibull", "hierarchical")
"""Names, in the order in which they are told."""

_LEFT_OUT: Final = ("tree", "forest", "xgboost", "lightgbm")


def usual_contenders(analysis: Analysis) -> tuple[str, ...]:
    """Names worth comparing where nothing was said.

    Parameters
    ----------
    analysis : Analysis
        What is asked.

    Returns
    -------
    tuple of str
        Rule and plain classifier, logistic regression, boosting, Cox, Weibull and the hierarchical model; no rule under
        contract.
    """
    shop = isinstance(analysis.churn, Silence)
    return tuple(name for name in CONTENDERS if name not in _LEFT_OUT and (shop or name != "rule"))


def contenders(analysis: Analysis, names: Sequence[str] = ()) -> dict[str, Recipe]:
    """Make each model's recipe, of the columns and habits of an analysis.

    Parameters
    ----------
    analysis : Analysis
        What is asked; its own model is not looked at.
    names : sequence of str
        Some of :data:`CONTENDERS`; on the gap clock ``":landmark"`` may follow a name.

    Returns
    -------
    dict of str to Recipe
        By name.

    Raises
    ------
    ArgumentError
        If a name is unknown, named twice, not installed or not meant for the definition.
    """
    chosen = tuple(names) or usual_contenders(analysis)
    twice = [name for k, name in enumerate(chosen) if name in chosen[:k]]
    if twice:
        raise ArgumentError(f"{twice[0]!r} is named twice.", hint="name each model once.")
    return {name: _recipe(analysis, name) for name in chosen}


def _recipe(analysis: Analysis, name: str) -> Recipe:
    from churnsurv.risk.recipes import Recipe

    plain = name.removesuffix(LANDMARK)
    _check_name(analysis, name, plain)
    asked = replace(analysis, model=plain if plain in MODELS else "cox")
    if name == "hierarchical" + LANDMARK:
        asked = replace(asked, look_back=asked.days_back)  # no whole past at landmarks, so habits are counted
    model, settings = _model(asked, plain)
    if name == "hierarchical" + LANDMARK:
        model = replace(model, frailty=None, calendar=False)
    if plain == "rule":
        return Recipe(model)
    moving = asked.moving or name.endswith(LANDMARK)
    return Recipe(
        model,
        asked.features(),
        bins=getattr(model, "bins", None) or None,
        as_of="landmark" if moving else "spell",
        settings=settings,
    )


def _model(analysis: Analysis, name: str) -> tuple[Any, dict[str, Any]]:
    """A model, and what its fit is told."""
    if name in MODELS:
        model: Any = analysis.specification()
        # At an early date some group may be without an event: everyone is drawn towards zero by about a hundredth instead.
        whole = model if name == "hierarchical" else replace(model, penalizer=RIDGE)
        return whole, {"draws": analysis.draws}
    if isinstance(analysis.churn, Silence) and name == "rule":
        from churnsurv.models.usual import SilenceRule

        return SilenceRule(_RULE_SHARE * analysis.churn.days), {}
    if name == "classifier":
        from churnsurv.models.usual import FixedHorizonModel

        return FixedHorizonModel(_classifier("logistic"), days=analysis.horizons[-1]), {}
    from churnsurv.models.discrete import DiscreteHazardModel

    return DiscreteHazardModel(_classifier(name), validation=_HELD_BACK if name in _BOOSTING else None), {}


def _classifier(name: str) -> Any:
    module, kind, settings = _CLASSIFIERS[name]
    if importlib.util.find_spec(module.partition(".")[0]) is None:
        raise ArgumentError(f"{name} is not installed.", hint=f"pip install {module}, or leave {name} out.")
    make: Callable[..., Any] = getattr(importlib.import_module(module), kind)
    return make(**settings)


def _check_name(analysis: Analysis, name: str, plain: str) -> None:
    if plain not in CONTENDERS:
        near = nearest(plain, list(CONTENDERS))
        meant = f"{near} is known; " if near else ""
        raise ArgumentError(
            f"there is no model {plain!r} to compare.", hint=f"{meant}models are: {', '.join(CONTENDERS)}."
        )
    shop = isinstance(analysis.churn, Silence)
    if plain == "rule" and not shop:
        raise ArgumentError(
            "the rule is one on silence, and under contract nobody is silent: she cancels.", hint="leave rule out."
        )
    if name != plain and (plain == "rule" or not shop):
        why = "a rule learns nothing" if shop else "contracts whose habits move are compared at landmarks anyway"
        raise ArgumentError(f"{name!r} means nothing: {why}.", hint=f"write {plain}.")
