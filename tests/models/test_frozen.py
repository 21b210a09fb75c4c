"""Files of earlier versions load, and predict what they predicted: to 1e-12, forever.

The files in ``frozen/`` are never written again. They were saved by the first version that had each kind or layout:
``kind-layout-what``. ``python -m tests.models.make_frozen`` adds new ones; ``frozen.json`` holds what they were asked and
what they answered on that day.
"""

import json
import warnings
from dataclasses import dataclass

import numpy as np
import pytest

from churnsurv.errors import DataWarning, SavedFitError
from churnsurv.models import container, saved
from churnsurv.models.base import FitInfo
from churnsurv.models.hierarchical.priors import Normal
from churnsurv.models.saved import load
from churnsurv.tables.churn import Silence
from churnsurv.tables.past import History
from tests.models.make_frozen import FROZEN, PREDICTIONS, RECIPES
from tests.models.rows import Open

ANSWERS = json.loads(PREDICTIONS.read_text(encoding="utf-8"))


def read(name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)  # that other versions wrote it is the point
        return load(FROZEN / name)


def test_hierarchical():
    fit = read("hierarchical-1")
    codes = np.array([[0, 0], [1, 2], [1, -1]])
    rows = Open(fit.schema, codes, (None, None), np.array([0.0, 3.0, 10.0]))
    mean = fit.conditional_survival(rows, np.array([[7.0, 30.0]] * 3)).mean(axis=0)
    expected = [
        [0.6958457393589624, 0.2826824792005693],
        [0.7386136500939728, 0.19807282019966788],
        [1.0, 0.34146911027355437],
    ]
    np.testing.assert_allclose(mean, expected, rtol=1e-12)
    assert fit.schema.churn == Silence(("order",), 90)
    assert fit.schema.as_of == "spell"
    assert fit.summary()["hazard_ratio"].round(12).tolist() == [
        1.361528240637, 0.976745807098, 1.000379219766, 1.032438443992,
    ]  # fmt: skip
    assert (fit.n_draws, fit.info.n_events, fit.info.exposure) == (50, 474, 8100.0)


def test_kaplan_meier():
    fit = read("kaplan_meier-1")
    assert fit.steps.times.tolist() == [2.0, 5.0, 9.0]
    np.testing.assert_allclose(fit.steps.survival, [5 / 6, 5 / 9, 0], rtol=1e-12)
    assert fit.n_at_risk(np.array([4.0])).tolist() == [4]


@dataclass(frozen=True, eq=False)
class Asked(Open):
    history: History | None
    origin: np.ndarray | None


def numbers(values):
    return None if values is None else np.array(values, float)


@pytest.mark.parametrize("name", ANSWERS)
def test_a_frozen_fit_answers_what_it_answered(name):
    fit, asked = read(name), ANSWERS[name]
    past = dict(asked["history"]) if "history" in asked else None
    if past is not None:
        values = tuple(numbers(column) for column in past.pop("values"))
        past = {key: None if one is None else np.array(one) for key, one in past.items()} | {"values": values}
        past["codes"] = past["codes"].reshape(len(past["place"]), -1)
    codes = np.array(asked["codes"]).reshape(len(asked["reached"]), -1)
    rows = Asked(
        fit.schema,
        codes,
        tuple(numbers(column) for column in asked["values"]),
        np.array(asked["reached"]),
        None if past is None else History(**past),
        np.array(asked["origin"]) if "origin" in asked else None,
    )
    survival = fit.conditional_survival(rows, np.array(asked["until"])).mean(axis=0)
    np.testing.assert_allclose(survival, np.array(asked["survival"], float), rtol=1e-12)
    assert np.isfinite(survival).mean() > 0.5


def test_every_recipe_has_its_file_and_every_kind_is_frozen():
    names = {path.name for path in FROZEN.iterdir()}
    assert set(RECIPES) == set(ANSWERS)
    assert names == {"hierarchical-1", "kaplan_meier-1", *RECIPES}
    assert {name.split("-")[0] for name in names} == set(saved._KINDS)


def test_a_frozen_file_has_the_layout_that_its_name_says():
    for path in FROZEN.iterdir():
        manifest, _ = container.unpack(path)
        assert (manifest["kind"], manifest["schema"]) == (path.name.split("-")[0], int(path.name.split("-")[1]))


def test_a_fit_of_the_first_layout_is_saved_in_the_present_one(tmp_path):
    """And so are the parts of competing fits."""
    first = read("hierarchical-1")
    first.save(tmp_path / "again")
    manifest, _ = container.unpack(tmp_path / "again")
    assert manifest["schema"] == saved.SCHEMA
    again = load(tmp_path / "again")
    assert again.summary().equals(first.summary())
    assert (again.model, again.priors, again.info.to_json()) == (first.model, first.priors, first.info.to_json())
    assert first.priors["coef"] == Normal(0, 0.5)
    part, arrays = container.unpack(FROZEN / "hierarchical-1")
    whole = {"kind": "competing", "fit": {"causes": [{"cause": "x", **part}]}}
    new, changed = saved.upgrade_fit(whole, {f"c0.{name}": array for name, array in arrays.items()}, 1)
    wanted, held = saved.upgrade_fit(part, arrays, 1)
    assert new["fit"]["causes"] == [{"cause": "x", **wanted}]
    assert changed.keys() == {f"c0.{name}" for name in held}


def test_a_first_fit_of_one_period_had_its_level_twice():
    body = {
        "formula": "1", "groups": [], "on_bad": "raise", "overrides": {}, "priors": {}, "stats": [], "seed": 0,
        "effects": {"terms": [], "references": {}, "known": {}, "left_out": []},
        "variables": [{"name": "log_baseline", "dims": ["period"]}, {"name": "intercept", "dims": []}],
    }  # fmt: skip
    arrays = {"p0": np.zeros((1, 2, 1)), "p1": np.full((1, 2), 3.0), "term_events": np.zeros(0)}
    part, changed = saved.upgrade_fit({"kind": "hierarchical", "cells": {"columns": []}, "fit": body}, arrays, 1)
    assert part["fit"]["variables"] == ["intercept"]
    assert changed["p0"].tolist() == [[3.0, 3.0]]
    assert "p1" not in changed


def test_info_of_an_older_version_lacks_what_came_later():
    data = FitInfo(status="ok", n_spells=3).to_json()
    older = {key: value for key, value in data.items() if key != "n_cells"}
    assert FitInfo.from_json(older).to_json() == data
    for wrong in ({**data, "colour": 1}, {"n_spells": 3}, {**data, "status": "fine"}):
        with pytest.raises(SavedFitError):
            FitInfo.from_json(wrong)


def test_what_is_no_fit_cannot_be_saved(tmp_path):
    with pytest.raises(SavedFitError, match=r"a Path cannot be saved|a PosixPath cannot be saved"):
        saved.save(tmp_path, tmp_path / "fit")
