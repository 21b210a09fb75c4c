"""The page of quantities numbers every equation once, and the code cites none that is not there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "explanation" / "quantities.md").read_text(encoding="utf-8")
TAGS = [int(number) for number in re.findall(r"\\tag\{(\d+)\}", PAGE)]


ALL_TAGS = {
    int(number)
    for page in (ROOT / "docs" / "explanation").glob("*.md")
    if page.name != "hierarchical.md"  # has a numbering of its own, and says so
    for number in re.findall(r"\\tag\{(\d+)\}", page.read_text(encoding="utf-8"))
}


def cited(text: str) -> set[int]:
    """Numbers in "eq. 4", "eq. 14 or 15" and "eq. 10, 13"."""
    groups = re.findall(r"\beq\. (\d+(?:(?:, | or | and )\d+)*)", text)
    return {int(number) for group in groups for number in re.findall(r"\d+", group)}


def test_equations_are_numbered_in_order() -> None:
    assert len(TAGS) >= 30
    assert [*range(1, len(TAGS) + 1)] == TAGS


def test_code_cites_equations_that_exist_and_most_of_them() -> None:
    modules = [path for path in (ROOT / "churnsurv" / "hazards").glob("*.py") if path.name != "poisson.py"]
    found = set().union(*(cited(path.read_text(encoding="utf-8")) for path in modules))
    assert found <= set(TAGS)
    assert {1, 2, 3, 4, 5, *range(9, 17), *range(22, 31)} <= found


def test_glossary_cites_equations_that_exist() -> None:
    numbers = cited((ROOT / "docs" / "glossary.md").read_text(encoding="utf-8"))
    assert {1, 2, 3, 4, 17, 18} <= numbers <= ALL_TAGS
