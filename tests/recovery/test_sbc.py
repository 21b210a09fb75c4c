"""The report on calibration is of this code, and a change of the code is held against twenty replicates at once."""

import numpy as np
import pytest
from scipy import stats

from tests.recovery import sbc
from tests.recovery.sbc import N_RANKS, SHOPS, Calibration, calibrate, code_of, hash_of, is_current, read_report

FEW, FEW_BINS = 20, 4


@pytest.mark.skipif(not sbc.REPORT.exists(), reason=f"no calibration has been reported yet: {sbc.COMMAND}")
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
        found.add({"x": int(np.sum(draws < rng.normal())), "y": int(rng.integers(N_RANKS + 1))}, 0, 0.0)
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
def f(x):
    """What it does."""
    # why
    return x + 1  # really
'''


def test_comments_docstrings_and_layout_are_no_code():
    other = SOURCE.replace("What it does.", "Something else.").replace("    # why\n", "\n\n")
    assert code_of(SOURCE) == "; def f ( x ) : ; > ; return x + 1 ; < "
    assert code_of(other) == code_of(SOURCE)
    for one, changed in (("+ 1", "+ 2"), ("return", "return '' or"), ("x + 1", "(x + 1)"), ("def f(x)", "def g(x)")):
        assert code_of(SOURCE.replace(one, changed)) != code_of(SOURCE)


def test_the_hash_is_of_the_files_that_are_run(tmp_path, monkeypatch):
    monkeypatch.setattr(sbc, "N_RANKS", 5)
    monkeypatch.setattr(sbc, "TUNE", 10)
    files = sbc.files_of("frailty, late entry")
    base = "churnsurv/models/hierarchical"
    assert {f"{base}/{name}.py" for name in ("density", "mode", "units", "cells", "sampling", "linear")} <= set(files)
    assert {f"churnsurv/hazards/{name}.py" for name in ("frailty", "frailty_parts")} <= set(files)
    assert f"{base}/vectors.py" in sbc.files_of("slopes")
    for file in files:
        copy = tmp_path / file
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text((sbc.ROOT / file).read_text(encoding="utf-8") + "\n# more\n", encoding="utf-8")
    before = hash_of(files)
    monkeypatch.setattr(sbc, "ROOT", tmp_path)
    assert hash_of(files) == before
    with (tmp_path / files[3]).open("a", encoding="utf-8") as file:
        file.write("more = 1\n")
    assert hash_of(files) != before


def test_a_report_is_written_and_read_back(tmp_path, monkeypatch):
    monkeypatch.setattr(sbc, "REPORT", tmp_path / "reports/sbc.json")
    monkeypatch.setattr(sbc, "PAGE", tmp_path / "reports/sbc.md")
    assert not is_current("groups")
    files = ["churnsurv/hazards/poisson.py"]
    sbc.write_report({"groups": sbc.entry_of(ranked(), files, hash_of(files))})
    sbc.write_report({"cure": sbc.entry_of(ranked(shift=0.5), files, "other")})
    assert is_current("groups")
    assert not is_current("cure")
    page = sbc.PAGE.read_text(encoding="utf-8")
    assert "| groups | " in page
    assert "| ok |" in page
    assert "FAULT" in page
    assert "- a normal: ranks of x are not uniform" in page
