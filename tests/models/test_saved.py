"""Saved fits: the same numbers come back, and nothing else comes in."""

import hashlib
import io
import json
import os
import pickle
import zipfile
from dataclasses import replace

import numpy as np
import pytest

from churnsurv.errors import DataWarning, SavedFitError
from churnsurv.models import canary, container, saved
from churnsurv.models.base import needs_history
from churnsurv.models.hierarchical import saved as hierarchical_saved
from churnsurv.models.hierarchical.model import HierarchicalModel
from churnsurv.models.hierarchical.priors import Normal
from churnsurv.models.saved import load
from churnsurv.tables.schema import PatternColumn
from tests.models import saved_data
from tests.models.conftest import make_cells


@pytest.fixture(scope="module")
def fit():
    columns = (PatternColumn("plan", ("basic", "plus")), PatternColumn("country", ("A", "B", "C")))
    grid = np.stack([axis.ravel() for axis in np.indices((2, 3, 3))], axis=1)
    days = 900.0 // (1 + grid[:, 2])
    counts = np.random.default_rng(0).poisson(days * np.exp(-3 - 0.2 * grid[:, 2] + 0.3 * grid[:, 0]))
    cells = make_cells(counts, days, grid[:, :2], grid[:, 2], columns=columns, breaks=(0, 7, 14, 30))
    model = HierarchicalModel("plan", groups=("country",), priors={"coef": Normal(0, 0.5)})
    return saved_data.made_up(model, cells, draws=50)


@pytest.fixture(scope="module")
def data(fit, tmp_path_factory):
    path = tmp_path_factory.mktemp("fit") / "fit"
    fit.save(path)
    return path.read_bytes()


def test_round_trip(fit, tmp_path):
    path = tmp_path / "out" / "fit"
    fit.save(path)
    again = load(path)
    assert again.summary().equals(fit.summary())
    assert again.baseline().equals(fit.baseline())
    assert again.info.to_json() == fit.info.to_json()
    assert again.model == fit.model
    assert again.schema == fit.schema
    assert again.priors == fit.priors
    for name, values in fit.posterior["posterior"].to_dataset().data_vars.items():
        assert values.identical(again.posterior["posterior"][name])
    assert saved.canary(again).tobytes() == saved.canary(fit).tobytes()
    assert [p.name for p in path.parent.iterdir()] == ["fit"]
    with pytest.raises(ValueError, match="holds no cells"):
        again.pymc_model()


@pytest.mark.parametrize("name", saved_data.COMPOSITIONS)
def test_every_composition_comes_back(name, tmp_path):
    fit = saved_data.made_up_fit(name)
    fit.save(tmp_path / "fit")
    again = load(tmp_path / "fit")
    assert (again.model, again.priors, again.seed) == (fit.model, fit.priors, fit.seed)
    assert again.info.to_json() == fit.info.to_json()
    assert list(again.priors) == list(fit.priors)
    assert again.structure.variables() == fit.structure.variables()
    assert again.structure.sd_names == fit.structure.sd_names
    assert again.structure.months == fit.structure.months
    assert (again.structure.cured, again.structure.time_scale) == (fit.structure.cured, fit.structure.time_scale)
    assert again.structure.layout.fixed == fit.structure.layout.fixed
    for one, other in zip(fit.structure.pieces, again.structure.pieces, strict=True):
        assert (one.name, one.dims, one.sizes, one.predictor, one.group) == (
            other.name, other.dims, other.sizes, other.predictor, other.group,
        )  # fmt: skip
        np.testing.assert_array_equal(one.block.scale, other.block.scale)
    for group in ("posterior", "sample_stats"):
        assert fit.posterior[group].to_dataset().identical(again.posterior[group].to_dataset())
    for total in ("at_stop", "term_events", "term_exposure"):
        np.testing.assert_array_equal(getattr(fit.counts, total), getattr(again.counts, total))
    for total in ("level_events", "level_exposure", "level_expected"):
        kept, found = getattr(fit.counts, total), getattr(again.counts, total)
        assert list(kept) == list(found)
        assert all(np.array_equal(kept[key], found[key]) for key in kept)
    np.testing.assert_array_equal(saved.canary(again), saved.canary(fit))
    again.save(tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == (tmp_path / "fit").read_bytes()


def test_competing_causes_with_a_frailty_come_back(tmp_path):
    fits = saved_data.made_up_causes()
    fits.save(tmp_path / "fit")
    again = load(tmp_path / "fit")
    assert again.causes == fits.causes
    assert needs_history(again)
    np.testing.assert_array_equal(saved.canary(again), saved.canary(fits))
    rows = canary._rows(fits.schema, past=True)
    until = np.full((len(rows.reached), 1), fits.schema.breaks[-1])
    fresh = fits.conditional_survival(replace(rows, history=None), until)
    assert (np.abs(fits.conditional_survival(rows, until) - fresh) > 1e-6).any()


def test_canaries_are_asked_about_their_past():
    """The same rows without a past have other predictions where a customer's own rhythm counts, and only there."""
    for name in ("frailty", "frailty and cure", "lognormal", "terms", "calendar"):
        fit = saved_data.made_up_fit(name)
        rows = canary._rows(fit.schema, past=needs_history(fit))
        until = np.linspace(rows.reached, np.full(len(rows.reached), fit.schema.breaks[-1]), 5, axis=1)
        fresh = fit.conditional_survival(replace(rows, history=None), until)
        if not needs_history(fit):
            assert rows.history is None
            continue
        differs = np.abs(fit.conditional_survival(rows, until) - fresh).max(axis=(0, 2)) > 1e-6
        assert differs.sum() >= 3
        history = rows.history
        assert set(np.bincount(history.place[~history.current], minlength=len(rows.codes))) == {0, 1, 2}
        assert (history.entry > 0).any()
        assert {0, 1} <= set(history.event[~history.current])


def test_canaries_go_through_the_months_and_through_an_average_one():
    fit = saved_data.made_up_fit("calendar")
    rows = canary._rows(fit.schema, past=False)
    until = np.full((len(rows.reached), 1), fit.schema.breaks[-1])
    still = fit.conditional_survival(replace(rows, origin=None), until)
    np.testing.assert_array_equal(saved.canary(fit)[:, len(until) :, -1:], still)
    assert saved.canary(fit).shape[1] == 2 * len(until)
    assert (np.abs(fit.conditional_survival(rows, until) - still)[:, :-1] > 1e-6).any(axis=0).all()
    assert canary._rows(replace(fit.schema, calendar=None), past=False).origin is None


def test_equal_fits_make_equal_files(fit, data, tmp_path):
    fit.save(tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == data


def test_no_training_row_is_in_the_file(data):
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        sizes = {
            name: np.load(io.BytesIO(archive.read(name))).shape for name in archive.namelist() if name.endswith("npy")
        }
    assert not any(shape and shape[0] == 18 for shape in sizes.values())


class _Harm:
    def __reduce__(self):
        return (os.mkdir, ("harm",))


def _seal(write, **settings):
    """A zip with a right seal around whatever is inside."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", **settings) as archive:
        write(archive)
        archive.comment = b"." * container._COMMENT
    body = buffer.getvalue()[: -container._COMMENT]
    return body + container._PREFIX + hashlib.sha256(body).hexdigest().encode()


def _members(data):
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _repacked(data, change):
    """Change the manifest or members, and list and seal them rightly: only the content is wrong."""
    members = _members(data)
    manifest = json.loads(members.pop("manifest.json"))
    change(manifest, members)
    manifest["members"] = {n: {"sha256": hashlib.sha256(d).hexdigest(), "bytes": len(d)} for n, d in members.items()}

    def write(archive):
        archive.writestr("manifest.json", json.dumps(manifest))
        for name, content in members.items():
            archive.writestr(name, content)

    return _seal(write)


def _npy(array, **settings):
    buffer = io.BytesIO()
    np.save(buffer, array, **settings)
    return buffer.getvalue()


def _header(shape, descr="'<f8'"):
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}"
    text = text.ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


CHANGES = {
    "newer layout": lambda m, a: m.update(schema=saved.SCHEMA + 1),
    "older layout": lambda m, a: m.update(schema=1),
    "layout of before": lambda m, a: m.update(schema=0),
    "layout is no number": lambda m, a: m.update(schema="1"),
    "layout is a truth value": lambda m, a: m.update(schema=True),
    "other format": lambda m, a: m.update(format="x"),
    "unknown kind": lambda m, a: m.update(kind="os.system"),
    "formula attack": lambda m, a: m["fit"]["model"].update(formula="__import__('os').mkdir('harm')"),
    "unknown prior": lambda m, a: m["fit"]["priors"].append({"parameter": "a", "type": "os.mkdir", "path": "harm"}),
    "unknown part": lambda m, a: m["fit"]["model"].update(colour="red"),
    "unknown baseline": lambda m, a: m["fit"]["model"].update(baseline="os.mkdir"),
    "another baseline": lambda m, a: m["fit"]["model"].update(baseline="weibull"),
    "a frailty without draws": lambda m, a: m["fit"]["model"].update(frailty="gamma"),
    "groups without levels": lambda m, a: m["fit"]["model"]["groups"].append(["plan", "1"]),
    "a slope without draws": lambda m, a: m["fit"]["model"].update(groups=[["country", "1 + plan"]]),
    "another column": lambda m, a: m["fit"]["groups"][0].update(columns=[0]),
    "a column beyond": lambda m, a: m["fit"]["groups"][0].update(columns=[7]),
    "levels beyond": lambda m, a: a.update({"level_codes0.npy": _npy(np.array([[0], [1], [9]]))}),
    "levels out of order": lambda m, a: a.update({"level_codes0.npy": _npy(np.array([[0], [2], [1]]))}),
    "months from nowhere": lambda m, a: m["fit"].update(months=[0, 10**9]),
    "no time": lambda m, a: m["fit"].update(time_scale=0.0),
    "numbers that are text": lambda m, a: m["fit"].update(numbers=[0]),
    "terms without units": lambda m, a: a.update({"term_scale.npy": _npy(np.zeros(1))}),
    "negative spread": lambda m, a: a.update({"p3.npy": _npy(np.full((2, 50), -1.0))}),
    "totals of others": lambda m, a: a.update({"level_events0.npy": _npy(np.zeros(2))}),
    "statistics of others": lambda m, a: a.update({"s0.npy": _npy(np.zeros((4, 5)))}),
    "another number of draws": lambda m, a: m["info"].update(n_draws=7),
    "very many periods": lambda m, a: m["cells"].update(breaks=list(range(100_000))),
    "effects elsewhere": lambda m, a: m["fit"]["effects"]["terms"][0].update(factors=[[7, 0]]),
    "missing field": lambda m, a: m["fit"].pop("groups"),
    "missing draws": lambda m, a: a.pop("p0.npy"),
    "wrong shape": lambda m, a: a.update({"p1.npy": _npy(np.zeros((2, 50, 9)))}),
    "not a number": lambda m, a: a.update({"p0.npy": _npy(np.full((2, 50), np.nan))}),
    "other draws": lambda m, a: a.update({"p0.npy": _npy(np.zeros((2, 50)))}),
    "other baseline": lambda m, a: a.update({"p2.npy": _npy(np.zeros((2, 50, 3)))}),
    "object array": lambda m, a: a.update({"p0.npy": _npy(np.array([_Harm()], object), allow_pickle=True)}),
    "huge declared shape": lambda m, a: a.update({"p0.npy": _header("(1000000000000,)")}),
    "overflowing shape": lambda m, a: a.update({"p0.npy": _header("(9223372036854775807, 4)")}),
    "negative shape": lambda m, a: a.update({"p0.npy": _header("(-1,)")}),
    "code in the header": lambda m, a: a.update({"p0.npy": _header("__import__('os').mkdir('harm')")}),
    "text array": lambda m, a: a.update({"p0.npy": _npy(np.array(["x"]))}),
    "zero-size claim": lambda m, a: a.update({"p0.npy": _header("(0, 1000000000000)")}),
    "breaks fall": lambda m, a: m["cells"].update(breaks=[0, 9, 3, 30]),
    "foreign churn": lambda m, a: m["cells"]["churn"].update(type="os.system"),
    "path as a name": lambda m, a: a.update({"../../harm.npy": _npy(np.zeros(1))}),
}


@pytest.mark.parametrize("name", CHANGES)
def test_rightly_sealed_but_wrong(name, data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fit").write_bytes(_repacked(data, CHANGES[name]))
    with pytest.raises(SavedFitError):
        load(tmp_path / "fit")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["fit"]


@pytest.mark.parametrize(
    "text",
    [
        '{"a": NaN}',
        '{"a": Infinity}',
        '{"a": 1e999}',
        '{"a": 1, "a": 2}',
        "[" * 100_000,
        '{"a":' * 100_000,
        "[1]",
        "",
        '"x"',
        '{"a": "\ud800"}'.encode("utf-8", "surrogatepass").decode("latin1"),
    ],
)
def test_json_is_read_strictly(text, tmp_path):
    with pytest.raises(SavedFitError):
        container.read_json(tmp_path / "fit", text.encode("latin1"))


def test_braces_inside_text_are_not_depth(tmp_path):
    text = json.dumps({"a": "[{" * 500 + '\\"'})
    assert container.read_json(tmp_path / "fit", text.encode())["a"].startswith("[{")


@pytest.mark.parametrize(
    "content",
    [
        pickle.dumps(_Harm()),
        b"\x89HDF\r\n\x1a\n" + b"\0" * 100,
        b"CDF\x01" + b"\0" * 100,
        b"\x1f\x8b" + b"\0" * 100,
        b"BZh9" + b"\0" * 100,
        b"\xfd7zXZ" + b"\0" * 100,
        b"x\x9c" + b"\0" * 100,
        _npy(np.zeros(3)),
        b"",
        b"hello",
        b"PK\x03\x04",
    ],
)
def test_foreign_files_are_named_and_not_opened(content, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fit").write_bytes(content)
    with pytest.raises(SavedFitError, match="is not a fit that can be loaded"):
        load(tmp_path / "fit")
    assert not (tmp_path / "harm").exists()


def test_malicious_archives(data, tmp_path):
    members = _members(data)
    path = tmp_path / "fit"

    def bomb(archive):
        archive.writestr("manifest.json", members["manifest.json"])
        archive.writestr("p0.npy", b"\0" * 10_000_000, zipfile.ZIP_DEFLATED)

    def twice(archive):
        for _ in range(2):
            archive.writestr("manifest.json", members["manifest.json"])

    def many(archive):
        for k in range(1200):
            archive.writestr(f"a{k}.npy", b"")

    def folder(archive):
        archive.writestr("manifest.json", members["manifest.json"])
        archive.writestr("sub/p0.npy", b"")

    def nothing(archive):
        archive.writestr("p0.npy", b"")

    for write in (bomb, many, folder, nothing):
        path.write_bytes(_seal(write))
        with pytest.raises(SavedFitError):
            load(path)
    with pytest.warns(UserWarning, match="Duplicate"):
        path.write_bytes(_seal(twice))
    with pytest.raises(SavedFitError, match="twice"):
        load(path)


def test_links_folders_and_missing_files(data, tmp_path):
    (tmp_path / "real").write_bytes(data)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "folder").mkdir()
    for name in ("link", "folder", "missing", "a\0b"):
        with pytest.raises(SavedFitError):
            load(tmp_path / name)


def test_other_library_versions_warn(data, tmp_path):
    (tmp_path / "fit").write_bytes(_repacked(data, lambda m, a: m["versions"].update(numpy="1.0")))
    with pytest.warns(DataWarning, match=r"numpy 1.0 \(here"):
        load(tmp_path / "fit")


def test_what_would_not_load_is_not_saved(fit, data, tmp_path, monkeypatch):
    path = tmp_path / "fit"
    path.write_bytes(data)
    describe = hierarchical_saved.describe

    def forgetful(fit):
        body, arrays = describe(fit)
        return body, {**arrays, "p0": arrays["p0"] + 1e-6}

    monkeypatch.setattr(hierarchical_saved, "describe", forgetful)
    with pytest.raises(SavedFitError, match="baseline is not its intercept"):
        fit.save(path)
    assert path.read_bytes() == data


def test_a_folder_is_not_overwritten(fit, tmp_path):
    with pytest.raises(SavedFitError, match="is a folder"):
        fit.save(tmp_path)
