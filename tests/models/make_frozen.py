"""Make the files of ``frozen/`` that are not there yet, and write down what they predict.

Run from the root of the repository, when a kind of fit or its layout is new: ``python -m tests.models.make_frozen``.
Files that are there are never written again: they stand for every file that a user has kept. A new one is called
``kind-layout-what``; add its recipe below.
"""

from __future__ import annotations

import json
import warnings
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from churnsurv.models import canary
from churnsurv.models.base import SurvivalFit, needs_history
from churnsurv.models.competing import CompetingFits
from churnsurv.models.cox import CoxModel
from churnsurv.models.weibull import WeibullModel
from churnsurv.tables.contracts import Cancellation
from tests.models import saved_data
from tests.models.rows import episodes

FROZEN = Path(__file__).parent / "frozen"
PREDICTIONS = Path(__file__).parent / "frozen.json"


def composition(name: str) -> SurvivalFit:
    """A short run of the sampler on the small shop."""
    return saved_data.COMPOSITIONS[name].fit(saved_data.shop_table(name), rng=1, draws=25, tune=150, chains=2)


def rows(churn=None):
    """Rows with a text and a number, two causes, late entry."""
    rng = np.random.default_rng(5)
    n = 80
    plan, spend = rng.choice(["basic", "plus"], n), rng.gamma(2.0, 10.0, n).round(2)
    time = rng.exponential(40 * np.exp(0.4 * (plan == "plus") - 0.01 * spend)) + 0.5
    start = np.where(np.arange(n) % 4 == 0, 0.3 * time, 0.0)
    event = np.where(time < 80, 1, 0) if churn is None else np.where(time < 80, 1 + np.arange(n) % 3 // 2, 0)
    settings = {} if churn is None else {"churn": churn}
    columns = {"plan": plan, "spend": spend}
    return episodes(np.minimum(time, 80), event, columns, start=np.minimum(start, 20), breaks=(0, 30, 80), **settings)


def competing() -> CompetingFits:
    """A fit for each of two causes."""
    churn = Cancellation(("cancelled", "unpaid"), origin="kind:signup")
    tables = {cause: one_cause(rows(churn), k, cause) for k, cause in enumerate(churn.causes, 1)}
    return CompetingFits({
        "cancelled": CoxModel("plan + spend").fit(tables["cancelled"], draws=25),
        "unpaid": CoxModel("plan").fit(tables["unpaid"], draws=25),
    })  # fmt: skip


def one_cause(table, k, cause):
    """Rows whose other causes are censored."""
    return replace(table, event=np.where(table.event == k, 1, 0), cause=cause)


RECIPES = {
    "hierarchical-2-frailty": lambda: composition("frailty"),
    "hierarchical-2-cure": lambda: composition("cure"),
    "hierarchical-2-calendar": lambda: composition("calendar"),
    "cox-2-formula": lambda: CoxModel("plan + spend").fit(rows(), draws=25),
    "weibull-2-formula": lambda: WeibullModel("plan + spend", shape="plan").fit(rows(), draws=25),
    "competing-2-cox": competing,
}


def question(fit: SurvivalFit) -> dict[str, object]:
    """Customers with all that is known of them, and until when they are asked about."""
    asked = canary._rows(fit.schema, past=needs_history(fit))
    until = np.linspace(asked.reached, np.full(len(asked.reached), fit.schema.breaks[-1]), 5, axis=1)
    found = {"codes": asked.codes, "values": asked.values, "reached": asked.reached, "until": until}
    found |= {} if asked.origin is None else {"origin": asked.origin}
    return found | ({} if asked.history is None else {"history": asdict(asked.history)})


def plain(value: object) -> object:
    """Arrays as lists, NaN as null."""
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    if isinstance(value, tuple):
        return [plain(one) for one in value]
    if isinstance(value, np.ndarray):
        return plain(tuple(value.tolist())) if value.ndim == 1 else [plain(row) for row in value]
    return None if isinstance(value, float) and np.isnan(value) else value


def main() -> None:
    """Make what is missing."""
    known = json.loads(PREDICTIONS.read_text(encoding="utf-8")) if PREDICTIONS.exists() else {}
    for name, make in RECIPES.items():
        if (FROZEN / name).exists():
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fit = make()
        fit.save(FROZEN / name)
        asked = canary._rows(fit.schema, past=needs_history(fit))
        asking = question(fit)
        answer = fit.conditional_survival(asked, asking["until"]).mean(axis=0)
        known[name] = plain({**asking, "survival": answer})
        print(f"{name}: {(FROZEN / name).stat().st_size:,} bytes")
    PREDICTIONS.write_text(json.dumps(known) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
