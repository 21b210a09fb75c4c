"""The whole way in one call: settings in, tables, fit, risk and check out.

``churnsurv report`` and ``churnsurv demo`` call :func:`analyse`, or :func:`lifetimes` where there is no risk to tell;
``churnsurv score`` calls :func:`score`. All work the same from Python.
"""

from churnsurv.analysis.lifetimes import Lifetimes, lifetimes
from churnsurv.analysis.notes import noting
from churnsurv.analysis.run import AnalysisResult, Progress, analyse, score, score_steps, steps
from churnsurv.analysis.settings import MODELS, Analysis, ModelName, default_horizons

__all__ = [
    "MODELS",
    "Analysis",
    "AnalysisResult",
    "Lifetimes",
    "ModelName",
    "Progress",
    "analyse",
    "default_horizons",
    "lifetimes",
    "noting",
    "score",
    "score_steps",
    "steps",
]
