"""Files of earlier versions load, and predict what they predicted: to 1e-12, forever.

The files in ``frozen/`` are never written again. They were saved by the first version that had each kind.
"""

import warnings
from pathlib import Path

import numpy as np
import pytest

from churnsurv.errors import DataWarning, SavedFitError
from churnsurv.models import saved
from churnsurv.models.base import FitInfo
from churnsurv.models.saved import load
from churnsurv.tables.churn import Silence
from tests.models.rows import Open

FROZEN = Path(__file__).parent / "frozen"


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


def test_every_kind_with_a_frozen_file_is_still_known():
    assert {path.name.rsplit("-", 1)[0] for path in FROZEN.iterdir()} <= set(saved._KINDS)


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
