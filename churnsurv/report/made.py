"""How the numbers were made: everything needed to make them again."""

from __future__ import annotations

import math
from importlib import metadata
from typing import TYPE_CHECKING, Final

from churnsurv.plots.labels import clean_text, column_label
from churnsurv.report.sentences import count, number
from churnsurv.tables.schema import CellSchema, PatternColumn

if TYPE_CHECKING:
    from churnsurv.models.base import SurvivalFit
    from churnsurv.risk.table import RiskTable

_LIBRARIES: Final = ("pymc", "arviz", "numpy", "scipy", "duckdb")


def version() -> str:
    """Version of churnsurv."""
    import churnsurv

    return churnsurv.__version__


def _installed(library: str) -> str:
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return "(not installed as a package)"


def _bins(schema: CellSchema, column: PatternColumn) -> str:
    title = column_label(schema, column.name)
    if column.edges is None:
        return f"{title}: {count(len(column.labels))} levels"
    edges = ", ".join("∞" if edge == math.inf else "−∞" if edge == -math.inf else number(edge) for edge in column.edges)
    return f"{title}: {edges}"


def _entry(name: str, text: str, *, code: bool = False) -> dict[str, object]:
    return {"name": name, "text": clean_text(text, longest=2000), "code": code}


def made_data(risk: RiskTable) -> dict[str, object]:
    """Collect the model card: versions, settings, counts and the data's fingerprint.

    Parameters
    ----------
    risk : RiskTable
        The risk, which knows its fit.

    Returns
    -------
    dict
        ``version`` and ``entries``: dicts of ``name``, ``text``, ``code``.
    """
    fit, schema, info = risk.fit, risk.fit.schema, risk.fit.info
    entries = [
        *_model_entries(fit),
        _entry("Fitted on", _fitted_on(fit)),
        _entry("Posterior draws", count(info.n_draws)),
        _entry("Seeds", f"{getattr(fit, 'seed', 0)} for the sampler, {risk.rng} for the chance in totals"),
        _entry("Period edges (days)", ", ".join(number(edge, 6) for edge in schema.breaks)),
        *(_entry("Covariate", _bins(schema, column)) for column in schema.columns),
        _entry("Intervals", f"equal-tailed (ci_kind={risk.ci_kind!r}), probability {risk.ci_prob:g}"),
        _entry("Time zone", schema.timezone),
        _entry("Versions", f"churnsurv {version()}, " + ", ".join(f"{name} {_installed(name)}" for name in _LIBRARIES)),
    ]
    if info.fingerprint:
        entries.append(_entry("Data fingerprint (SHA-256)", info.fingerprint, code=True))
    return {"version": version(), "entries": entries}


def _model_entries(fit: SurvivalFit) -> list[dict[str, object]]:
    model = getattr(fit, "model", None)
    groups, priors = getattr(model, "groups", ()), getattr(fit, "priors", None)
    entries = [_entry("Model", type(model).__name__)]
    if getattr(model, "formula", ""):
        entries.append(_entry("Formula", str(getattr(model, "formula", "")), code=True))
    if groups:
        entries.append(_entry("Random effects by", ", ".join(groups)))
    if priors:
        entries.append(_entry("Priors", "; ".join(f"{name} ~ {priors[name]}" for name in sorted(priors)), code=True))
    return entries


def _fitted_on(fit: SurvivalFit) -> str:
    info = fit.info
    return (
        f"{count(info.n_spells)} gaps with {count(info.n_events)} events over "
        f"{count(info.exposure)} days at risk, in {count(info.n_cells)} cells"
    )
