"""The shape of the house: import direction, lazy imports, public names, file sizes."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import churnsurv

ROOT = Path(churnsurv.__file__).parent
LAYERS = {
    "_typing": -2, "errors": -1, "_validate": 0,
    "hazards": 1, "dag": 1,
    "tables": 2, "datasets": 3,
    "models": 4, "risk": 5, "causes": 6, "actions": 7, "monitor": 7,
    "plots": 8, "report": 9, "analysis": 10, "service": 10, "cli": 11, "__init__": 12,
}  # fmt: skip
"""Imports point down only. Two folders of one layer do not know each other."""

ONLY_IN = {
    "pymc": ("models",), "pytensor": ("models",), "nutpie": ("models",), "arviz": ("models",),
    "arviz_base": ("models",), "arviz_stats": ("models",), "lifelines": ("models",), "formulaic": ("models",),
    "altair": ("plots",), "vl_convert": ("plots",), "jinja2": ("report",), "typer": ("cli",), "rich": ("cli", "models"),
    "duckdb": ("tables",), "narwhals": ("tables",), "sklearn": ("models",), "networkx": ("dag",),
    "opt_einsum": ("causes",), "shap": ("causes",), "mlxtend": ("causes",), "lightgbm": ("models",), "xgboost": ("models",),
}  # fmt: skip
HEAVY = (
    "pymc", "pytensor", "arviz", "lifelines", "pandas", "altair", "duckdb", "xarray", "scipy", "numba", "typer", "sklearn",
    "networkx", "opt_einsum",
)  # fmt: skip
WITH_SKLEARN = ("models/person_period_classifier.py", "models/person_period_folds.py")
"""Classes of scikit-learn's kind, whose base must be there when they are written; imported by functions only."""


def modules() -> list[tuple[str, Path, ast.Module]]:
    files = sorted(ROOT.rglob("*.py"))
    return [(str(p.relative_to(ROOT)), p, ast.parse(p.read_text(encoding="utf-8"))) for p in files]


def part_of(name: str) -> str:
    return Path(name).parts[0].removesuffix(".py")


def imports(tree: ast.AST) -> list[str]:
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found.append(node.module or "")
    return found


def runtime_imports(tree: ast.Module) -> list[str]:
    """Imports that run when the module is imported: not in functions, not under TYPE_CHECKING."""
    found, todo = [], list(tree.body)
    while todo:
        node = todo.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            todo += node.orelse
            continue
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            found += imports(node)
        todo += ast.iter_child_nodes(node)
    return found


def test_imports_point_down():
    wrong = []
    for name, _, tree in modules():
        mine = part_of(name)
        for target in imports(tree):
            if not target.startswith("churnsurv.") or mine == "__init__":
                continue
            other = target.split(".")[1]
            if other != mine and LAYERS[other] >= LAYERS[mine]:
                wrong.append(f"{name} imports {target}")
    assert not wrong


def test_every_part_has_a_layer():
    assert {part_of(name) for name, _, _ in modules()} <= set(LAYERS)


def test_a_library_is_known_only_where_it_belongs():
    wrong = [
        f"{name} imports {target}"
        for name, _, tree in modules()
        for target in imports(tree)
        if target.split(".")[0] in ONLY_IN and part_of(name) not in ONLY_IN[target.split(".")[0]]
    ]
    assert not wrong


def test_hazards_and_graphs_know_no_frames():
    wrong = [
        name
        for name, _, tree in modules()
        if part_of(name) in ("hazards", "dag", "errors", "_typing", "_validate")
        and any(target.split(".")[0] in ("pandas", "polars", "pyarrow", "xarray") for target in imports(tree))
    ]
    assert not wrong


def test_pandas_is_imported_where_it_is_used():
    wrong = [
        name
        for name, _, tree in modules()
        if "pandas" in {t.split(".")[0] for t in runtime_imports(tree)} and name not in WITH_SKLEARN
    ]
    assert not wrong


def test_no_relative_imports():
    wrong = [
        name
        for name, _, tree in modules()
        if any(isinstance(node, ast.ImportFrom) and node.level for node in ast.walk(tree))
    ]
    assert not wrong


def test_files_stay_small():
    sizes = {name: len(path.read_text(encoding="utf-8").splitlines()) for name, path, _ in modules()}
    assert not {name: n for name, n in sizes.items() if n > 500}


def test_public_names_are_few_and_there():
    assert len(churnsurv.__all__) <= 38
    missing = [name for name in churnsurv.__all__ if getattr(churnsurv, name, None) is None]
    assert not missing


def test_public_names_say_what_they_are():
    bare = [name for name in churnsurv.__all__ if not (getattr(churnsurv, name).__doc__ or "").strip()]
    assert not bare


def test_report_is_the_function_even_after_its_folder_was_imported():
    code = "import churnsurv.report.html, churnsurv; assert callable(churnsurv.report), churnsurv.report"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_importing_loads_nothing_heavy():
    code = f"import sys, churnsurv; print([name for name in {HEAVY!r} if name in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert out.stdout.strip() == "[]"


def test_importing_is_quick():
    """Under 0.3 s beyond an empty interpreter, the best of five: the machine may be busy."""
    code = "import time; t = time.perf_counter(); import churnsurv; print(time.perf_counter() - t)"
    times = [
        float(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout)
        for _ in range(5)
    ]
    assert min(times) < 0.3


@pytest.mark.parametrize("name", sorted(churnsurv.__all__))
def test_a_public_name_stands_in_the_reference(name):
    pages = "".join(page.read_text(encoding="utf-8") for page in (ROOT.parent / "docs").rglob("*.md"))
    assert name in pages
