"""Explanations are counterfactuals one cause at a time; a diagnosis is Bayes' rule."""

from __future__ import annotations

import numpy as np
import pytest

from churnsurv.errors import UnknownStateError


@pytest.fixture(scope="module")
def explained(fit, spells):
    return fit.explain(spells, horizon=30)


def test_causes_are_compared_with_what_most_have(fit, explained):
    opening = fit.rows.frame()
    opening = opening[opening["opens"]]
    assert explained.reference == {name: opening[name].mode()[0] for name in fit.rows.names}


def test_rows_are_those_who_differ(fit, spells, explained):
    frame = explained.frame()
    assert (frame["state"] != frame["instead"]).all()
    waits = frame[frame["cause"] == "wait"]
    changed = fit.counterfactual(spells, {"wait": "no ticket"}, horizon=30).frame().set_index("customer_id")
    np.testing.assert_allclose(waits["difference"], -changed.loc[waits["customer_id"], "difference"], rtol=1e-12)
    np.testing.assert_allclose(waits["share"], waits["difference"] / waits["churn_probability"], rtol=1e-12)
    assert (frame["lower"] <= frame["difference"]).all()
    assert (frame["difference"] <= frame["upper"]).all()


def test_the_strongest_cause_comes_first(explained):
    top = explained.top()
    assert top["customer_id"].is_unique
    assert (top["difference"] > 0).all()
    frame = explained.frame()
    best = frame[frame["difference"] > 0].groupby("customer_id")["difference"].max()
    np.testing.assert_allclose(top["difference"], best.loc[top["customer_id"]])
    assert set(top[top["cause"] == "wait"]["state"]) == {"4 to 24 h", "over 24 h"}, "a short wait is no reason to leave"


def test_another_reference(fit, spells):
    found = fit.explain(spells, horizon=30, reference={"wait": "under 4 h"}).frame()
    assert set(found[found["cause"] == "wait"]["instead"]) == {"under 4 h"}
    with pytest.raises(UnknownStateError, match="no state 'soon'"):
        fit.explain(spells, reference={"wait": "soon"})


def test_a_diagnosis_by_hand(fit):
    found = fit.diagnose(horizon=60)
    frame = found.frame().set_index(["cause", "state"])
    likely = (
        fit.query("churn", {"wait": "over 24 h"}, horizon=60).draws[:, 1] / fit.query("churn", horizon=60).draws[:, 1]
    )
    assert abs(frame.loc[("wait", "over 24 h"), "ratio"] - likely.mean()) < 1e-9
    assert "times as common among who churned" in repr(found)
    within = fit.diagnose({"late": "late"}, horizon=60).frame()
    assert "late" not in set(within["cause"])
    later = fit.diagnose(horizon=30, at=20.0).frame().set_index(["cause", "state"])
    assert later.loc[("wait", "over 24 h"), "among_all"] > frame.loc[("wait", "over 24 h"), "among_all"]
