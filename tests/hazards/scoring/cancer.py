"""Predictions of two published models for the patients of the German Breast Cancer Study Group."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

Floats = npt.NDArray[np.float64]


def _spline(x: Floats, knots: tuple[float, float, float]) -> Floats:
    """Restricted cubic spline with three knots: its second column, as Hmisc::rcspline.eval."""
    first, middle, last = knots
    cubes = [np.maximum(x - knot, 0) ** 3 for knot in knots]
    bent = cubes[0] - cubes[1] * (last - first) / (last - middle) + cubes[2] * (middle - first) / (last - middle)
    return np.asarray(bent / (last - first) ** 2)


def five_year_risks(extended: bool) -> tuple[Floats, Floats, Floats]:
    """Years, event and predicted risk within five years.

    Coefficients and baseline survival of section 1.1 of 02_predsurv.md of
    danielegiardiello/Prediction_performance_survival: models developed on the Rotterdam patients.
    """
    rows = pytest.importorskip("lifelines.datasets").load_gbsg2()
    size, grade = rows["tsize"].to_numpy(), (rows["tgrade"] == "III").to_numpy()
    nodes = np.minimum(rows["pnodes"].to_numpy(), 19.0)
    marker = np.minimum(rows["progrec"].to_numpy(), 1360.0)
    columns = [(size > 20) & (size <= 50), size > 50, nodes, _spline(nodes, (0, 1, 9)), grade]
    coef, baseline = [0.342, 0.574, 0.304, -0.811, 0.362], 0.804
    if extended:
        columns += [marker, _spline(marker, (0, 41, 486))]
        coef, baseline = [0.320, 0.554, 0.305, -0.820, 0.305, -0.003, 0.013], 0.761
    risk = 1 - baseline ** np.exp(np.column_stack(columns).astype(np.float64) @ coef)
    return rows["time"].to_numpy() / 365.25, rows["cens"].to_numpy().astype(np.float64), risk
