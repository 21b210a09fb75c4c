"""The report on calibration is of this code, and a change of the code is held against twenty replicates at once."""

import numpy as np
import pytest
from scipy import stats

from tests.recovery import sbc
from tests.recovery.code_run import functions_run, hash_of, listed
from tests.recovery.sbc import N_RANKS, SHOPS, Calibration, calibrate, is_current, read_report

FEW, FEW_BINS = 20, 4


@pytest.mark.parametrize("name", SHOPS)
def test_the_report_is_of_this_code_and_without_fault(name):
    entry = read_report()["compositions"].get(name)
    assert entry is not None, f"{name!r} is not in {sbc.REPORT.name}. Run: {sbc.COMMAND} {name!r}"
    assert is_current(name), (
        f"the code that {name!r} runs has changed since its calibration of {entry['date']}. Run: {sbc.COMMAND} --stale\n"
        f"For a first look at twenty replicates: pytest -m slow tests/recovery/test_sbc.py"
    )
    assert entry["replicates"] >= sbc.REPLICATES
    assert entry["faults"] == []


@pytest.mark.slow  # half a minute to two minutes each; where the code has changed, the test above has failed already
@pytest.mark.parametrize("name", SHOPS)
def test_twenty_replicates_are_calibrated_where_the_code_has_changed(name):
    if is_current(name):
        pytest.skip("200 replicates of this code are in the report")
    assert calibrate(name, FEW).faults(FEW_BINS) == []


# The checks themselves -----------------------------------------------------------------------------------------------


def ranked(shift=0.0, spread=1.0, n=sbc.REPLICATES):
    """Ranks of a standard normal truth among draws of a normal that is shifted or too narrow."""
    rng, found = np.random.default_rng(3), Calibration("a normal")
    for _ in range(n):
        draws = shift + spread * rng.normal(size=N_RANKS)
        found.add({"x": int(np.sum(draws < rng.normal())), "y": int(rng.integers(N_RANKS + 1))}, 0, 0.0, {})
    return found


def test_right_ranks_pass():
    assert ranked().faults() == []
    assert ranked(n=FEW).faults(FEW_BINS) == []


@pytest.mark.parametrize("wrong", [{"shift": 0.4}, {"spread": 0.7}, {"spread": 1.5}])
def test_wrong_ranks_fail_and_are_named(wrong):
    faults = ranked(**wrong).faults()
    assert faults
    assert all("ranks of x are not uniform" in fault for fault in faults)


def test_divergences_are_a_fault():
    found = ranked()
    found.divergences = int(0.006 * sbc.REPLICATES * sbc.THIN * N_RANKS)
    assert found.faults() == ["a normal: 0.6% of transitions diverged (limit 0.5%)"]


def test_false_alarms_are_as_rare_as_they_should_be():
    """P-values of right ranks are uniform, though 101 ranks do not go into ten equal bins."""
    rng = np.random.default_rng(1)
    found = [sbc.uniformity(rng.integers(0, N_RANKS + 1, 200), 10) for _ in range(200)]
    for test in ("chi2", "ecdf"):
        p = np.array([one[test] for one in found])
        assert stats.kstest(p, "uniform").pvalue > 0.001


# The hash ------------------------------------------------------------------------------------------------------------

SOURCE = '''"""What it is."""
import math, numpy
_LIMIT = 3
_OTHER = 4
class A:
    """What it holds."""
    size: int = 1
    def f(self, x):
        """What it does."""
        # why
        return math.sqrt(x) + _LIMIT + g(self)  # really
    def not_run(self):
        return _OTHER
def g(a):
    return a.size
'''
RUN = {"a.py": ["A.f", "g"]}


def hash_of_text(folder, text, functions=RUN):
    (folder / "a.py").write_text(text, encoding="utf-8")
    return hash_of(functions, folder)


@pytest.mark.parametrize(
    ("one", "changed"),
    [
        ("What it does.", "Something else."),
        ("        # why\n", "\n\n"),
        ("return _OTHER", "return 5"),
        ("_OTHER = 4", "_OTHER = 5"),
        ("import math, numpy", "import math"),
        ("def g(a)", "def h(a):\n    return 1\ndef g(a)"),
    ],
)
def test_comments_layout_and_what_is_not_run_are_no_code(tmp_path, one, changed):
    assert SOURCE.count(one) == 1
    assert hash_of_text(tmp_path, SOURCE.replace(one, changed)) == hash_of_text(tmp_path, SOURCE)


@pytest.mark.parametrize(
    ("one", "changed"),
    [
        ("+ g(self)", "- g(self)"),
        ("_LIMIT = 3", "_LIMIT = 4"),
        ("size: int = 1", "size: int = 2"),
        ("import math, numpy", "import cmath as math"),
        ("return a.size", "return a.size + 1"),
        ("    def f", "    @cached\n    def f"),
    ],
)
def test_what_is_run_and_what_it_names_are_code(tmp_path, one, changed):
    assert SOURCE.count(one) == 1
    assert hash_of_text(tmp_path, SOURCE.replace(one, changed)) != hash_of_text(tmp_path, SOURCE)


def test_compiled_files_count_whole_and_files_that_are_gone_are_seen(tmp_path):
    whole = {"a.py": ["*"]}
    changed = SOURCE.replace("return _OTHER", "return 5")
    assert hash_of_text(tmp_path, changed, whole) != hash_of_text(tmp_path, SOURCE, whole)
    before = hash_of(RUN, tmp_path)
    (tmp_path / "a.py").unlink()
    assert hash_of(RUN, tmp_path) != before
    base = "churnsurv/models/hierarchical"
    assert listed({f"{base}/fused.py": {"b", "a"}}) == {
        f"{base}/baselines/{name}.py": ["*"] for name in ("lognormal", "poisson", "weibull")
    } | {f"{base}/fused.py": ["a", "b"], f"{base}/fused_kernels.py": ["*"]}


def test_the_functions_of_a_replicate_are_seen(monkeypatch):
    monkeypatch.setattr(sbc, "N_RANKS", 5)
    monkeypatch.setattr(sbc, "TUNE", 10)
    with functions_run() as found:
        sbc.replicate("frailty, late entry", 0)
    base = "churnsurv/models/hierarchical"
    assert {f"{base}/{name}.py" for name in ("density", "mode", "units", "cells", "sampling", "linear")} <= set(found)
    assert "LogPosterior.value_and_gradient" in found[f"{base}/density.py"]
    assert "find_mode" in found[f"{base}/mode.py"]
    assert "unit_terms" in found["churnsurv/hazards/frailty.py"]
    assert "HierarchicalModel.fit" not in found[f"{base}/model.py"]
    assert f"{base}/refusals.py" not in found


def test_a_report_is_written_and_read_back(tmp_path, monkeypatch):
    monkeypatch.setattr(sbc, "REPORT", tmp_path / "reports/sbc.json")
    monkeypatch.setattr(sbc, "PAGE", tmp_path / "reports/sbc.md")
    assert not is_current("groups")
    right, wrong = ranked(), ranked(shift=0.5)
    right.functions = wrong.functions = {"churnsurv/hazards/poisson.py": {"poisson_log_likelihood"}}
    sbc.write_report({"groups": sbc.entry_of(right)})
    sbc.write_report({"cure": sbc.entry_of(wrong) | {"hash": "other"}})
    assert is_current("groups")
    assert not is_current("cure")
    page = sbc.PAGE.read_text(encoding="utf-8")
    assert "| groups | " in page
    assert "| ok |" in page
    assert "FAULT" in page
    assert "- a normal: ranks of x are not uniform" in page
