"""The whole way in one call: settings in, tables, fit, risk and check out.

``churnsurv report`` and ``churnsurv demo`` call :func:`analyse`, or :func:`lifetimes` where there is no risk to tell;
``churnsurv score`` calls :func:`score`, ``churnsurv compare`` :func:`compare`. All work the same from Python.
"""

from churnsurv.analysis.compare import COMPARE_STEPS, Comparison, compare, usual_cutoffs
from churnsurv.analysis.contenders import CONTENDERS, contenders, usual_contenders
from churnsurv.analysis.lifetimes import Lifetimes, lifetimes
from churnsurv.analysis.notes import noting
from churnsurv.analysis.run import AnalysisResult, Progress, analyse, score, score_steps, steps
from churnsurv.analysis.settings import MODELS, Analysis, ModelName, default_horizons

__all__ = [
    "COMPARE_STEPS",
    "CONTENDERS",
    "MODELS",
    "Analysis",
    "AnalysisResult",
    "Comparison",
    "Lifetimes",
    "ModelName",
    "Progress",
    "analyse",
    "compare",
    "contenders",
    "default_horizons",
    "lifetimes",
    "noting",
    "score",
    "score_steps",
    "steps",
    "usual_contenders",
    "usual_cutoffs",
]
