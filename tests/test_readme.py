"""What the README shows is what runs."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_fifteen_lines_run(tmp_path):
    code = re.search(r"```python\n(.*?)```", README, re.S)
    assert code is not None
    lines = [line for line in code.group(1).splitlines() if line.strip()]
    assert len(lines) <= 15
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code.group(1)], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "customers as of 2011-12-10" in done.stdout
    assert (tmp_path / "report.html").stat().st_size > 10_000


def test_the_two_commands_are_those_that_ci_runs():
    assert "uv run pytest " in README
    assert "\nuv run pytest\n" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "pip install uv && uv run churnsurv demo" in README


@pytest.mark.parametrize("path", re.findall(r"\]\((docs/[^)]+)\)", README))
def test_links_lead_somewhere(path):
    assert (ROOT / path).is_file()
