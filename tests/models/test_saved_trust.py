"""Saved fits under attack: damaged bytes, killed writers, failing disks; and what a file tells of customers."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

from churnsurv.errors import SavedFitError
from churnsurv.models import container, saved
from churnsurv.models.saved import load
from churnsurv.tables.open_spells import OpenSpells
from tests.models import saved_data

IDS = "zq7canary"


@pytest.fixture(scope="module")
def fit():
    return saved_data.made_up_fit("frailty", prefix=IDS, draws=50)


@pytest.fixture(scope="module")
def data(fit, tmp_path_factory):
    path = tmp_path_factory.mktemp("fit") / "fit"
    fit.save(path)
    return path.read_bytes()


def members_of(data):
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


# Damage --------------------------------------------------------------------------------------------------------


def flipped(data, rng):
    broken = bytearray(data)
    for at in rng.choice(len(data), rng.integers(1, 4), replace=False):
        broken[at] ^= 1 << int(rng.integers(8))
    return bytes(broken)


def swapped(data, rng):
    """Two members change places; the file is sealed anew, so that only the manifest can tell."""
    members = members_of(data)
    first = rng.choice([name for name in members if name != "manifest.json"])
    second = rng.choice([name for name, content in members.items() if content != members[first]])
    members[first], members[second] = members[second], members[first]
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
        archive.comment = b"." * container._COMMENT
    body = buffer.getvalue()[: -container._COMMENT]
    return body + container._PREFIX + hashlib.sha256(body).hexdigest().encode()


def test_a_thousand_corruptions_are_refused(data, tmp_path):
    rng, path, began = np.random.default_rng(0), tmp_path / "fit", time.perf_counter()
    broken = [data[: len(data) * percent // 100] for percent in range(100)]
    broken += [swapped(data, rng) for _ in range(200)]
    broken += [flipped(data, rng) for _ in range(690)]
    half = len(data) // 2
    broken += [data + b"\0", data * 2, data[half:] + data[:half], data[::-1], data[1:], b"\0" * len(data)]
    broken += [data[:half] + data[half + 512 :], data[:half] + b"\0" * 512 + data[half + 512 :]]
    broken += [data[:half] + data[:512] + data[half:], data[: -container._COMMENT]]
    assert len(broken) == 1000
    assert data not in broken
    for content in broken:
        path.write_bytes(content)
        with pytest.raises(SavedFitError):
            load(path)
    assert time.perf_counter() - began < 15


# Killed writers --------------------------------------------------------------------------------------------------

WRITER = """
import os, random, signal, sys, time
from pathlib import Path
from churnsurv.models import container

folder, times, seed = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
path, random = folder / "fit", random.Random(seed)
contents = [(folder / name).read_bytes() for name in ("old", "new")]
(folder / "old").unlink(), (folder / "new").unlink()
inside = 0

def check():
    global inside
    names = sorted(os.listdir(folder))
    strays = [name for name in names if name != "fit"]
    assert "fit" in names and len(strays) <= 1, names
    assert path.read_bytes() in contents
    inside += len(strays)

def kill(work):
    child = os.fork()
    if not child:
        try:
            work()
        finally:
            os._exit(1)
    return child

def forever():
    while True:
        for content in contents:
            container.write_at_once(path, content)

container.write_at_once(path, contents[0])
for _ in range(times):
    child = kill(forever)
    time.sleep(random.uniform(0, 0.03))
    os.kill(child, signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    check()

# Two writers and a reader at once.
pair = [kill(forever), kill(forever)]
for _ in range(20 * times):
    time.sleep(random.uniform(0, 0.003))
    assert path.read_bytes() in contents
for child in pair:
    os.kill(child, signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
container.write_at_once(path, contents[0])
check()

# A kill at every single step: just before it, and just after.
steps = ["open", "fstat", "write", "fchmod", "fsync", "replace", "close", "fsync", "close"]
for name in sorted(set(steps)):
    for which in range(1 + steps.count(name)):
        for after in (False, True):
            def die():
                real, calls = getattr(os, name), [0]
                def dying(*args, **settings):
                    calls[0] += 1
                    if calls[0] > which and not after:
                        os.kill(os.getpid(), signal.SIGKILL)
                    found = real(*args, **settings)
                    if calls[0] > which:
                        os.kill(os.getpid(), signal.SIGKILL)
                    return found
                setattr(os, name, dying)
                container.write_at_once(path, contents[1])
            os.waitpid(kill(die), 0)
            check()
container.write_at_once(path, contents[0])
assert os.listdir(folder) == ["fit"], os.listdir(folder)
print(inside)
"""


@pytest.mark.parametrize("times", [10, pytest.param(200, marks=pytest.mark.slow)])
@pytest.mark.skipif(os.name != "posix", reason="forks and kills")
def test_a_killed_writer_leaves_the_old_or_the_new(times, data, tmp_path):
    (tmp_path / "old").write_bytes(data)
    saved_data.made_up_fit("frailty", draws=400).save(tmp_path / "new")
    done = subprocess.run(
        [sys.executable, "-c", WRITER, str(tmp_path), str(times), "0"],
        capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 10, "no writer was killed in the middle of its work"
    assert [one.name for one in tmp_path.iterdir()] == ["fit"]
    assert load(tmp_path / "fit").n_draws == 100


# Failing disks ---------------------------------------------------------------------------------------------------


class Failing:
    """Fails at one call of an ``os`` function, counted from 0; ``half`` writes a part before."""

    def __init__(self, name, at, error, *, half=False):
        self.real, self.at, self.error, self.half, self.calls = getattr(os, name), at, error, half, 0

    def __call__(self, *args, **settings):
        self.calls += 1
        if self.calls <= self.at:
            return self.real(*args, **settings)
        if self.half and self.calls == self.at + 1:
            return self.real(args[0], args[1][: len(args[1]) // 2])
        raise OSError(self.error, os.strerror(self.error))


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO, errno.EACCES])
@pytest.mark.parametrize(
    ("name", "at", "half"),
    [("write", 0, True), *((name, 0, False) for name in ("open", "write", "fchmod", "fsync", "replace"))],
)
def test_a_failing_disk_leaves_the_old_fit(name, at, half, error, fit, data, tmp_path, monkeypatch):
    path = tmp_path / "fit"
    path.write_bytes(data)
    with monkeypatch.context() as patched:
        failing = Failing(name, at, error, half=half)
        patched.setattr(os, name, failing)
        with pytest.raises(OSError, match=os.strerror(error)):
            fit.save(path)
    assert failing.calls > at
    assert path.read_bytes() == data
    assert os.listdir(tmp_path) == ["fit"]


@pytest.mark.parametrize(("name", "at"), [("fsync", 1), ("close", 0), ("close", 1), ("open", 1)])
def test_what_fails_after_the_rename_is_told_and_the_new_fit_is_whole(name, at, fit, data, tmp_path, monkeypatch):
    path = tmp_path / "fit"
    path.write_bytes(b"the old one")
    with monkeypatch.context() as patched:
        patched.setattr(os, name, Failing(name, at, errno.EIO))
        with pytest.raises(OSError, match="Input/output error"):
            fit.save(path)
    assert path.read_bytes() == data
    assert os.listdir(tmp_path) == ["fit"]


def test_a_short_write_is_continued(fit, data, tmp_path, monkeypatch):
    real = os.write
    monkeypatch.setattr(os, "write", lambda handle, rest: real(handle, rest[:1000]))
    fit.save(tmp_path / "fit")
    assert (tmp_path / "fit").read_bytes() == data


def test_what_a_living_writer_is_about_to_write_is_left_alone(data, tmp_path):
    handle, name = container._open_beside(tmp_path, ".fit-")
    (tmp_path / ".fit-dead.part").write_bytes(b"half")
    (tmp_path / ".another-dead.part").write_bytes(b"of another file")
    container.write_at_once(tmp_path / "fit", data)
    assert sorted(os.listdir(tmp_path)) == sorted([".another-dead.part", "fit", Path(name).name])
    os.close(handle)
    container.write_at_once(tmp_path / "fit", data)
    assert sorted(os.listdir(tmp_path)) == [".another-dead.part", "fit"]


# What a file tells of customers --------------------------------------------------------------------------------


def test_no_customer_is_in_the_file(fit, data):
    """No id, in no spelling; and the ids were there."""
    customer = next(OpenSpells.batches(saved_data.shop_spells(100, IDS), fit.schema)).customer_id[0]
    assert customer.startswith(IDS)
    text = data.decode("latin1").lower()
    for spelling in (IDS, IDS[::-1], IDS.encode("utf-16-le").decode("latin1")):
        assert spelling not in text
    for written in (hashlib.sha256, hashlib.md5):
        assert written(customer.encode()).hexdigest() not in text


@pytest.mark.parametrize("name", saved_data.COMPOSITIONS)
def test_the_size_does_not_depend_on_customers(name):
    """Nothing is stored by customer, spell or cell: the arrays have the same shapes whoever was there."""
    shapes = []
    for n_customers in (60, 240):
        fit = saved_data.made_up_fit(name, n_customers=n_customers)
        body, arrays = saved.describe_fit(fit)
        shapes.append({key: array.shape for key, array in arrays.items()})
        known = {2, 8, 1, fit.schema.n_periods, *(len(v) for v in fit.structure.coords().values())}
        known |= {len(group.columns) for group in fit.structure.groups.values()}
        assert all(set(array.shape) <= known for array in arrays.values())
        lists = json.dumps(body["fit"])
        assert len(lists) < 6000
    if saved_data.COMPOSITIONS[name].fits_on == "cells":
        assert shapes[0] == shapes[1]
        table = saved_data.shop_table(name, 240)
        assert table.n_spells.sum() > 240


def test_a_million_customers_are_a_few_megabytes():
    """4,000 draws of every number that a frailty with slopes has, whatever the number of customers."""
    fit = saved_data.made_up_fit("frailty")
    arrays = saved.describe_fit(fit)[1]
    per_draw = sum(array.nbytes for key, array in arrays.items() if key[0] in "ps") / fit.n_draws
    rest = sum(array.nbytes for key, array in arrays.items() if key[0] not in "ps")
    assert per_draw * 4000 + rest < 2e6
