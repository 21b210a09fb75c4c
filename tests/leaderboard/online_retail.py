"""The committed leaderboard: every model at four dates of the shipped Online Retail log, against what followed.

``uv run python -m tests.leaderboard.online_retail`` prints it, in a quarter of an hour on two cores; ``--write`` writes
``docs/reports/leaderboard.json``, ``.md`` and the charts; ``--cache FOLDER`` keeps forecasts, so that a run that was
stopped goes on; ``--models`` names some.
"""

import argparse
import datetime as dt
import json
import math
import platform
from importlib.metadata import version
from pathlib import Path

import churnsurv as cs
from churnsurv.datasets import load_online_retail
from churnsurv.plots.calibration import plot_calibration
from churnsurv.plots.leaderboard import plot_leaderboard
from churnsurv.plots.svg import to_svg
from churnsurv.risk.calibration import calibration_table
from churnsurv.risk.coverage import interval_coverage
from churnsurv.risk.scores import score_backtest
from tests.leaderboard.contestants import CHURN, CUTOFFS, WINDOW, contestants
from tests.leaderboard.page import CHARTED, write_page

ROOT = Path(__file__).parents[2]
REPORTS = ROOT / "docs/reports"
COMMAND = "uv run python -m tests.leaderboard.online_retail --write"
HORIZONS = (30.0, 60.0, 90.0)
LIBRARIES = ("numpy", "scipy", "pymc", "lifelines", "scikit-learn", "duckdb")


def measure(names=None, cache=None, cutoffs=CUTOFFS):
    """Run the backtest of some models, or of all."""
    models = contestants()
    chosen = {name: models[name] for name in names or models}
    return cs.backtest(
        load_online_retail(), WINDOW, CHURN, chosen, cutoffs, HORIZONS, rng=0, cache=cache, progress=True
    )


def numbers(result):
    """Everything that the page tells, as plain numbers; the time is that of all fits and predictions, cached or not."""
    seconds = sum(sum(one.seconds) for one in result.forecasts.values() if not one.failure)
    board = cs.leaderboard(result, rng=0)
    back = cs.leaderboard(result, quantity="return", rng=0)
    bayesian = [name for name in board.table["model"].unique() if name.startswith("hierarchical")]
    return {
        "made": {
            "date": f"{dt.datetime.now(dt.UTC):%Y-%m-%d}",
            "command": COMMAND,
            "python": platform.python_version(),
            **{name: version(name) for name in LIBRARIES},
            "seconds": round(seconds),
        },
        "cutoffs": [[cutoff.date, round(cutoff.followed, 2)] for cutoff in result.cutoffs],
        "churn": records(board.table),
        "return": records(back.table),
        "scores": records(board.scores),
        "verdicts": board.verdicts(),
        "by_silence": records(
            score_backtest(result, by="reached", n_draws=50)[
                ["model", "cutoff", "horizon", "reached", "n", "n_events", "expected", "brier_skill"]
            ]
        ),
        "coverage": records(interval_coverage(result)),
        "deciles": records(calibration_table(result, models=bayesian)),
    }


def records(frame):
    """Rows of a frame with six digits, blanks for what is not told."""
    return [{name: _plain(value) for name, value in row.items()} for row in frame.to_dict("records")]


def _plain(value):
    if value is None or isinstance(value, (bool, str)):
        return value
    value = float(value)
    return None if math.isnan(value) else float(f"{value:.6g}") if math.isfinite(value) else str(value)


def main():
    """Measure, print, and write where asked to."""
    parser = argparse.ArgumentParser(description="Leaderboard of the shipped Online Retail log.")
    parser.add_argument("--write", action="store_true", help="write docs/reports/leaderboard.*")
    parser.add_argument("--cache", help="folder in which forecasts are kept")
    parser.add_argument("--models", nargs="*", help=f"some of: {', '.join(contestants())}")
    given = parser.parse_args()
    if given.write and given.models:
        parser.error("what is written has all models: leave --models out.")
    result = measure(given.models, given.cache)
    found = numbers(result)
    board = cs.leaderboard(result)
    print(result, board, *board.verdicts(), sep="\n")
    if given.write:
        (REPORTS / "leaderboard.json").write_text(json.dumps(found, indent=1) + "\n")
        charts = {
            "leaderboard": plot_leaderboard(board),
            "leaderboard-calibration": plot_calibration(result, list(CHARTED)),
        }
        for name, chart in charts.items():
            text = to_svg(chart, name=name).replace("<svg ", '<svg font-family="Helvetica, Arial, sans-serif" ', 1)
            (REPORTS / f"{name}.svg").write_text(text)
        write_page(found, REPORTS / "leaderboard.md")


if __name__ == "__main__":
    main()
