"""The leaderboard as a page: what was done, who was closest, how well calibrated, and where each number is tested."""

CHARTED = (
    "hierarchical, frailty, months",
    "hierarchical piecewise, habits",
    "BG/NBD",
)
"""Models whose calibration is drawn."""

SHOWN = ("", "revenue", "country")
"""Columns whose totals are told."""

TESTED = {
    "Brier score, skill": "tests/hazards/scoring/test_brier.py",
    "log score": "tests/hazards/scoring/test_log_score.py",
    "off by (ICI), by chance, slope": "tests/hazards/scoring/test_calibration.py, test_calibration_curve.py",
    "AUC": "tests/hazards/scoring/test_discrimination.py",
    "lift": "tests/hazards/scoring/test_lift.py",
    "difference, verdict": "tests/hazards/scoring/test_paired.py",
    "totals, held": "tests/risk/test_backtest.py, test_churn_risk.py",
    "outcomes, dates, truncation": "tests/risk/test_outcomes.py, test_backtest.py",
    "BG/NBD, Pareto/NBD": "tests/leaderboard/test_buy_till_you_die.py",
    "this page, from the committed code": "tests/leaderboard/test_online_retail.py",
}


def write_page(found, path):
    """Write the page of the numbers."""
    made = found["made"]
    horizons = sorted({row["horizon"] for row in found["churn"]}, reverse=True)
    first, last = found["cutoffs"][0][0], found["cutoffs"][-1][0]
    libraries = ", ".join(
        f"{name} {value}" for name, value in made.items() if name not in ("date", "command", "seconds")
    )
    n = max(row["n"] for row in found["churn"] if row["horizon"] == horizons[0])
    lines = [
        "# Leaderboard: Online Retail",
        "",
        f"Made on {made['date']} by `{made['command']}`, {made['seconds'] / 60:.0f} minutes on two cores with {libraries}.",
        "",
        f"At {len(found['cutoffs'])} dates ({', '.join(date for date, _ in found['cutoffs'])}) every model learnt from what was"
        " known then, told everybody's chance of 90 days of silence, and was held against the 90 days that followed;"
        f" {n:,.0f} forecasts whose answer was open, of the same customers for every model. The windows of neighbouring dates"
        f" overlap, and {first} to {last} is one summer before one Christmas: the order of models is about this shop, and the"
        " totals are about that season. BG/NBD and Pareto/NBD find no customer who leaves for good here (their likelihood is"
        " highest without any): both are the same model of purchases at a rate of each customer's own. What it says about"
        " the hierarchical model stands in [How right is it?](../explanation/calibration.md#against-everything-else).",
        "",
        "![Share of the Kaplan–Meier curve's error that each model saves](leaderboard.svg)",
        "",
    ]
    for horizon in horizons:
        lines += [f"## Silent for 90 days, within {horizon:g} days", "", *_table(found["churn"], horizon), ""]
    lines += ["", *[f"- {sentence}" for sentence in found["verdicts"]], ""]
    lines += [
        f"## The next order, within {horizons[0]:g} days",
        "",
        "The same forecasts, asked for the return instead of the silence: here the time matters, so concordance is told.",
        "",
        *_table(found["return"], horizons[0], concordance=True),
        "",
        "## Date by date",
        "",
        f"Share of the Kaplan–Meier curve's error that is saved, silent within {horizons[0]:g} days; and predicted over actual"
        " churners.",
        "",
        *_dates(found, horizons[0]),
        "",
        "## Calibration of the hierarchical models",
        "",
        "![Observed against predicted](leaderboard-calibration.svg)",
        "",
        "Totals with a 90 % predictive interval, one for each date: how many held the number, and how wide they were as a"
        " share of the customers.",
        "",
        *_coverage(found),
        "",
        "## Where each number is tested",
        "",
        "| number | tests |",
        "|---|---|",
        *[f"| {what} | {', '.join(f'`{one}`' for one in where.split(', '))} |" for what, where in TESTED.items()],
        "",
    ]
    path.write_text("\n".join(lines))


def _table(rows, horizon, *, concordance=False):
    titles = ["model", "Brier", "error saved", "log score", "off by", "by chance", "slope"]
    titles += [
        "concordance" if concordance else "AUC",
        "lift",
        "came back / expected" if concordance else "churned / expected",
        "held",
        "difference from the best",
        "s",
        "status",
    ]
    lines = ["| " + " | ".join(titles) + " |", "|---" * len(titles) + "|"]
    for row in rows:
        if row["horizon"] != horizon:
            continue
        held = f"{row['covered']:g} of {row['n_intervals']:g}" if row["n_intervals"] else "–"
        apart = "best" if row["verdict"] == "best" else "–"
        if row["difference"] is not None:
            apart = f"{row['difference']:+.4f} ({row['difference_lower']:+.4f} to {row['difference_upper']:+.4f})"
            apart += "" if row["verdict"] in ("worse", "better") else ", not distinguishable"
        cells = [
            row["model"], _digits(row["brier"], 4), _percent(row["brier_skill"]), _digits(row["log_score"], 3),
            _percent(row["ici"]), _percent(row["ici_null"]), _digits(row["slope"], 2),
            _digits(row["concordance" if concordance else "auc"], 3), _digits(row["lift"], 2),
            _digits(row["observed_expected"], 2), held, apart, _digits(row["seconds"], 1), row["status"],
        ]  # fmt: skip
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def _dates(found, horizon):
    dates = [date for date, _ in found["cutoffs"]]
    order = [row["model"] for row in found["churn"] if row["horizon"] == horizon]
    at = {(row["model"], row["cutoff"]): row for row in found["scores"] if row["horizon"] == horizon}
    lines = ["| model | " + " | ".join(dates) + " |", "|---" * (len(dates) + 1) + "|"]
    for name in order:
        cells = []
        for date in dates:
            row = at.get((name, date))
            told = row is not None and row["brier"] is not None
            cells.append(
                f"{_percent(row['brier_skill'])}; {row['expected']:,.0f} of {row['n_events']:,.0f}" if told else "–"
            )
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return lines


def _coverage(found):
    lines = ["| model | horizon | of | held | width |", "|---|---|---|---|---|"]
    for row in found["coverage"]:
        if not row["model"].startswith("hierarchical") or row["column"] not in SHOWN:
            continue
        what = row["column"] or "all customers"
        held = (
            f"{row['covered']:.0%} of {row['n_intervals']:g} ({row['covered_lower']:.0%} to {row['covered_upper']:.0%})"
        )
        lines.append(f"| {row['model']} | {row['horizon']:g} days | {what} | {held} | {_percent(row['width'])} |")
    return lines


def _digits(value, digits):
    if value is None:
        return "–"
    return str(value) if isinstance(value, str) else f"{value:.{digits}f}"


def _percent(value):
    return "–" if value is None else f"{value:.1%}"
