"""Code on the pages runs as it stands: every page from an empty interpreter, its blocks one after another."""

from __future__ import annotations

import ast
import contextlib
import csv
import io
import re
from pathlib import Path
from typing import Any

import pytest

from churnsurv.datasets.shop import simulate_shop

DOCS = Path(__file__).parents[2] / "docs"
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.S | re.M)
PAGES = {str(path.relative_to(DOCS)): BLOCK.findall(path.read_text(encoding="utf-8")) for path in DOCS.rglob("*.md")}
PAGES = {name: blocks for name, blocks in sorted(PAGES.items()) if blocks}
NEEDS_ANOTHERS_FILE = {"explanation/datasets.md"}
"""Shows how a shipped file was made, from one that is not shipped."""
SLOW = {
    "explanation/cure.md", "explanation/report.md", "how-to/command-line.md", "how-to/diagnostics.md", "tutorials/shop.md",
    "tutorials/subscription.md",
}  # fmt: skip
"""Ask a whole log about a cured share, draw a report, sample with NUTS, or go a whole tutorial's way: over 10 s each."""


def orders_csv(path: Path) -> None:
    """A reader's own file, as the page on the command line names its columns."""
    shop = simulate_shop(120, rng=1, start="2010-12-01", end="2011-12-10", history_days=0, timezone="Europe/London")
    orders = [row for row in shop.frame().to_pylist() if row["kind"] == "order"]
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["CustomerID", "InvoiceDate", "Revenue", "Country"])
        for row in orders:
            table.writerow([row["customer_id"], f"{row['time']:%Y-%m-%d} 12:00", row["revenue"], row["country"]])


FILES = {"how-to/command-line.md": {"orders.csv": orders_csv}}
"""What a page takes for given in the reader's folder."""


def runnable() -> list[Any]:
    return [
        pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else [], id=name)
        for name in PAGES
        if name not in NEEDS_ANOTHERS_FILE
    ]


@pytest.mark.parametrize("name", runnable())
def test_blocks_run_in_order(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is given but what a new interpreter has; warnings are errors, as in all tests."""
    monkeypatch.chdir(tmp_path)
    for file, make in FILES.get(name, {}).items():
        make(tmp_path / file)
    names: dict[str, Any] = {"__name__": "__main__"}
    for k, block in enumerate(PAGES[name]):
        code = compile(block, f"{name}, block {k + 1}", "exec")
        with contextlib.redirect_stdout(io.StringIO()):
            exec(code, names)  # noqa: S102 - the pages are ours


@pytest.mark.parametrize("name", PAGES)
def test_blocks_are_python(name: str) -> None:
    for block in PAGES[name]:
        ast.parse(block)


def test_there_are_pages_and_all_kinds_of_them() -> None:
    assert len(PAGES) >= 19
    assert {*SLOW, *NEEDS_ANOTHERS_FILE, *FILES} <= set(PAGES)


@pytest.mark.parametrize("name", ["groups", "frailty", "cure", "calendar", "hierarchical", "baselines"])
def test_displayed_equations_are_numbered(name: str) -> None:
    """Once each on a page; every page of a composition has some."""
    text = (DOCS / "explanation" / f"{name}.md").read_text(encoding="utf-8")
    shown = re.findall(r"\$\$(.*?)\$\$", text, re.S)
    numbers = [re.findall(r"\\tag\{(\w+)\}", one) for one in shown]
    assert shown
    assert all(len(found) == 1 for found in numbers), [
        one for one, found in zip(shown, numbers, strict=True) if not found
    ]
    assert len({found[0] for found in numbers}) == len(numbers)


def test_one_number_is_one_equation_on_all_pages() -> None:
    """A number that stands on two pages stands over the same formula there."""
    found: dict[str, set[str]] = {}
    for path in (DOCS / "explanation").glob("*.md"):
        for one in re.findall(r"\$\$(.*?)\$\$", path.read_text(encoding="utf-8"), re.S):
            for number in re.findall(r"\\tag\{(\d+)\}", one):
                if int(number) >= 31 or path.name == "groups.md":
                    found.setdefault(number, set()).add(re.sub(r"[\s.,]|\\[,;]|\\tag\{\w+\}", "", one))
    assert {number: forms for number, forms in found.items() if len(forms) > 1} == {}
