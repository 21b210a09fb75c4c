"""Boosting that stops early, on the latest rows instead of rows drawn at random.

Rows drawn at random are other periods of the customers that were learnt from, at the same time: a booster that stops when
they get no better stops far too late.
"""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np

from churnsurv._typing import BoolArray, IntArray
from churnsurv.errors import ArgumentError

_AUTOMATIC = 10_000
"""Rows from which scikit-learn's histogram boosting holds some back by itself."""
_SHARE = 0.1
_ROUNDS = 20
"""Rounds without progress after which XGBoost and LightGBM stop, where their settings do not say."""


def held_back(estimator: Any, n: int, validation: float | None) -> float:
    """Share of the latest rows that are held back to stop on.

    Parameters
    ----------
    estimator : classifier
        Of any kind.
    n : int
        Rows.
    validation : float or None
        As asked for; ``None`` leaves it to the estimator's own settings.

    Raises
    ------
    ArgumentError
        If the share is none, or the estimator cannot be told which rows to stop on and would draw some at random.
    """
    if validation is not None and not 0.0 <= validation < 1.0:
        raise ArgumentError(f"validation={validation!r} is no share of rows.", hint="validation=0.1, or 0 for none.")
    drawn, able = _draws_rows(estimator, n), _takes_rows(estimator)
    if validation and not able:
        raise ArgumentError(
            f"{type(estimator).__name__} cannot be told which rows to stop on.",
            hint="XGBClassifier, LGBMClassifier and HistGradientBoostingClassifier can; for others leave out validation=.",
        )
    if drawn and not able:
        raise ArgumentError(
            f"{type(estimator).__name__} with {drawn} would stop on rows that it draws at random.",
            consequence="They are other periods of the customers it learns from, so it would stop far too late.",
            hint=f"switch it off: {drawn.split('=')[0]}={'None' if 'no_change' in drawn else 'False'}.",
        )
    if validation is None:
        return _SHARE if drawn else 0.0
    return float(validation)


def stopping_on(estimator: Any, rows: Any, y: IntArray) -> dict[str, Any]:
    """Arguments of ``fit`` that make a booster stop on given rows; its settings are changed where they must be."""
    kind = _module(estimator)
    if kind == "xgboost":
        if estimator.get_params().get("early_stopping_rounds") is None:
            estimator.set_params(early_stopping_rounds=_ROUNDS)
        return {"eval_set": [(rows, y)], "verbose": False}
    if kind == "lightgbm":
        import lightgbm

        stop = {"callbacks": [lightgbm.early_stopping(_ROUNDS, verbose=False)]}
        if "eval_X" in inspect.signature(estimator.fit).parameters:  # from 4.7 on
            return {"eval_X": (rows,), "eval_y": (y,), **stop}
        return {"eval_set": [(rows, y)], **stop}
    estimator.set_params(early_stopping=True)
    return {"X_val": rows, "y_val": y}


def latest(customer: IntArray, begins: IntArray, ends: IntArray, share: float) -> tuple[BoolArray, BoolArray]:
    """Rows to learn from, whose outcome was known before the latest ones began; and the latest ones.

    Rows without dates (all zero) are parted by customer.

    Examples
    --------
    >>> latest(np.arange(4), np.array([0, 10, 20, 30]), np.array([5, 15, 25, 35]), 0.25)
    (array([ True,  True,  True, False]), array([False, False, False,  True]))
    """
    if not begins.any():
        some = np.random.default_rng(0).permutation(int(customer.max()) + 1)[customer]
        stop = some < share * (some.max() + 1)
        return ~stop, stop
    since = np.quantile(begins, 1.0 - share, method="higher")
    return ends <= since, begins >= since


def _module(estimator: Any) -> str:
    return type(estimator).__module__.split(".")[0]


def _takes_rows(estimator: Any) -> bool:
    return _module(estimator) in ("xgboost", "lightgbm") or type(estimator).__name__ == "HistGradientBoostingClassifier"


def _innermost(estimator: Any) -> Any:
    """The classifier itself: of a pipeline its last step, of a search over settings what is searched."""
    steps = getattr(estimator, "steps", None)
    inner = steps[-1][1] if steps else getattr(estimator, "estimator", None) if hasattr(estimator, "scoring") else None
    return estimator if inner is None else _innermost(inner)


def _draws_rows(estimator: Any, n: int) -> str:
    """The setting by which an estimator holds rows back at random, empty for none."""
    settings = _innermost(estimator).get_params(deep=False)
    if "early_stopping" in settings:
        asked = settings["early_stopping"]
        return f"early_stopping={asked!r}" if asked is True or (asked == "auto" and n > _AUTOMATIC) else ""
    waits = settings.get("n_iter_no_change")
    return "" if waits is None else f"n_iter_no_change={waits!r}"
