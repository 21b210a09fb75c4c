"""Kaplan–Meier as a member of the family of fits."""

from dataclasses import dataclass

import numpy as np
import pytest

from churnsurv.errors import ArgumentError, EmptyDataError, ModelSupportError, SavedFitError
from churnsurv.models.base import SurvivalFit
from churnsurv.models.kaplan_meier import KaplanMeierModel
from churnsurv.models.saved import load
from tests.models.conftest import CHURN


class SpellTable:
    """Six spells, the example of Collett, Modelling Survival Data, worked by hand."""

    churn = CHURN
    cause = None
    log = None

    def __init__(self, exit, event, entry=None):
        self.exit, self.event = np.asarray(exit, float), np.asarray(event)
        self.entry = np.zeros(len(self.exit)) if entry is None else np.asarray(entry, float)

    def arrays(self):
        return {"entry": self.entry, "exit": self.exit, "event": self.event}


@dataclass
class Rows:
    reached: np.ndarray

    @property
    def codes(self):
        return np.zeros((len(self.reached), 0), np.int64)

    schema = None


@pytest.fixture
def fit():
    return KaplanMeierModel().fit(SpellTable([2, 3, 3, 5, 8, 9], [1, 1, 0, 1, 0, 0]))


def test_conditional_survival_by_hand(fit):
    # S: 5/6 after 2, 4/6 after 3, 4/9 after 5.
    found = fit.conditional_survival(Rows(np.array([0.0, 2.5, 4.0])), np.array([[3.0, 9.0], [3.0, 5.0], [3.0, 9.5]]))
    assert found.shape == (1, 3, 2)
    np.testing.assert_allclose(found[0, 0], [4 / 6, 4 / 9])
    np.testing.assert_allclose(found[0, 1], [(4 / 6) / (5 / 6), (4 / 9) / (5 / 6)])
    assert found[0, 2, 0] == 1.0
    assert np.isnan(found[0, 2, 1])


def test_family(fit):
    assert isinstance(fit, SurvivalFit)
    assert fit.info.reliable
    assert (fit.info.n_spells, fit.info.n_events, fit.info.exposure) == (6, 3, 30.0)
    assert fit.n_draws == 1
    assert fit.posterior["posterior"]["survival"].dims == ("chain", "draw", "time")
    assert fit.summary().empty
    assert fit.n_at_risk(np.array([0.0, 3.0, 8.5, 9.5])).tolist() == [6, 5, 1, 0]
    rows = Rows(np.zeros(2))
    assert not fit.new_group(rows).any()
    assert not fit.unseen(rows).any()
    curve = fit.predict_survival_function(rows, np.array([1.0, 3.0])).values[0, 0]
    np.testing.assert_allclose(curve, [[1.0, 4 / 6]] * 2)
    with pytest.raises(ArgumentError, match="one draw"):
        fit.conditional_survival(rows, np.ones((2, 1)), draws=np.array([1]))


def test_round_trip_and_corruption(fit, tmp_path):
    path = tmp_path / "fit"
    fit.save(path)
    again = load(path)
    assert again.info.to_json() == fit.info.to_json()
    assert again.steps.survival.tobytes() == fit.steps.survival.tobytes()
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(SavedFitError):
        load(path)


def test_refusals():
    with pytest.raises(ModelSupportError, match=r"needed: causes[\s\S]*with_cause"):
        KaplanMeierModel().fit(SpellTable([2, 3], [1, 2]))
    with pytest.raises(EmptyDataError, match="not one spell"):
        KaplanMeierModel().fit(SpellTable([], np.zeros(0, int)))
    with pytest.raises(ModelSupportError, match="fits on spells"):
        KaplanMeierModel().fit(object())


def test_late_entry_is_used():
    fit = KaplanMeierModel().fit(SpellTable([2, 4, 6], [1, 1, 0], entry=[0, 3, 0]))
    # At 2 only two are at risk, at 4 again two.
    np.testing.assert_allclose(
        fit.conditional_survival(Rows(np.zeros(1)), np.array([[2.0, 4.0]]))[0, 0], [1 / 2, 1 / 4]
    )
