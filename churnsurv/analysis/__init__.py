"""The whole way in one call: settings in, tables, fit, risk and check out.

``churnsurv report`` and ``churnsurv demo`` call :func:`analyse`, or :func:`lifetimes` where there is no risk to tell;
``churnsurv score`` calls :func:`score`, ``churnsurv compare`` :func:`compare`, and ``churnsurv causes``
:func:`study_causes`. All work the same from Python.
"""

from churnsurv.analysis.causes import CAUSE_STEPS, CauseStudy, study_causes
from churnsurv.analysis.compare import COMPARE_STEPS, Comparison, compare, usual_cutoffs
from churnsurv.analysis.contenders import CONTENDERS, contenders, usual_contenders
from churnsurv.analysis.drawing import Drawing, Question, read_drawing
from churnsurv.analysis.lifetimes import Lifetimes, lifetimes
from churnsurv.analysis.notes import noting
from churnsurv.analysis.run import AnalysisResult, Progress, analyse, score, score_steps, steps
from churnsurv.analysis.settings import MODELS, Analysis, ModelName, default_horizons

__all__ = [
    "CAUSE_STEPS",
    "COMPARE_STEPS",
    "CONTENDERS",
    "MODELS",
    "Analysis",
    "AnalysisResult",
    "CauseStudy",
    "Comparison",
    "Drawing",
    "Lifetimes",
    "ModelName",
    "Progress",
    "Question",
    "analyse",
    "compare",
    "contenders",
    "default_horizons",
    "lifetimes",
    "noting",
    "read_drawing",
    "score",
    "score_steps",
    "steps",
    "study_causes",
    "usual_contenders",
    "usual_cutoffs",
]
