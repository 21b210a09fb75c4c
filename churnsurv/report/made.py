"""How the numbers were made: everything needed to make them again."""

from __future__ import annotations

import math
from collections.abc import Mapping
from importlib import metadata
from typing import TYPE_CHECKING, Final

from churnsurv.plots.counted import fits_of
from churnsurv.plots.labels import clean_text, column_label
from churnsurv.plots.words import cause_label, words_of
from churnsurv.report.health import n_terms
from churnsurv.report.scope import entries_of
from churnsurv.report.sentences import count, number, quantity
from churnsurv.tables.schema import CellSchema, PatternColumn

if TYPE_CHECKING:
    from churnsurv.models.base import SurvivalFit
    from churnsurv.risk.table import RiskTable

_SAMPLERS: Final = ("pymc", "arviz")
_LIBRARIES: Final = ("numpy", "scipy", "duckdb")
_SETTINGS: Final = {
    "formula": "Formula",
    "baseline": "Baseline",
    "shape_groups": "Forms of their own by",
    "shape": "Formula of the shape",
    "strata": "Baselines of their own by",
    "penalizer": "Penalizer",
    "l1_ratio": "Share of the absolute penalty",
    "rounded": "Events known to (days)",
}


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
    """Collect the model card: definition, model, counts, settings, versions and the data's fingerprint.

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
        _entry("Definition", risk.spells.churn.describe()),
        *_origin_entries(risk),
        *(entry for cause, one in fits_of(fit).items() for entry in _model_entries(one, cause)),
        _entry("Fitted on", _fitted_on(risk)),
        _entry("Draws", f"{count(info.n_draws)}, of which {count(len(risk.draw_index))} were used"),
        _entry("Seeds", f"{_seeds(fit)} for the estimates, {risk.rng} for the chance in totals"),
        _entry("Horizons (days)", ", ".join(number(h, 6) for h in risk.horizon)),
        _entry("Period edges (days)", ", ".join(number(edge, 6) for edge in schema.breaks)),
        *(_entry("Covariate", _bins(schema, column)) for column in schema.covariates),
        _entry("Intervals", _intervals(risk)),
        _entry("Time zone", schema.timezone if risk.spells.window else "none: the data carry no dates"),
        _entry("Versions", _versions(fit)),
    ]
    if info.fingerprint:
        entries.append(_entry("Data fingerprint (SHA-256)", info.fingerprint, code=True))
    return {"version": version(), "entries": entries}


def _origin_entries(risk: RiskTable) -> list[dict[str, object]]:
    begins = getattr(risk.spells.churn, "begins", None)
    if begins is None:
        return []
    late, again, watched = entries_of(risk.spells)
    entry = f"{count(late)} of {count(risk.spells.n_spells)} enter late; half were watched for at most {number(watched)} days"
    spells = f"; {count(again)} are a customer's second or later one" if again else ""
    return [_entry("Time counts from", begins.words), _entry("Entry", entry + spells)]


def _model_entries(fit: SurvivalFit, cause: str | None) -> list[dict[str, object]]:
    model = getattr(fit, "model", None)
    groups, priors = getattr(model, "groups", ()), getattr(fit, "priors", None)
    of = "" if cause is None else f" ({cause_label(cause)})"
    terms = n_terms(fit)
    entries = [_entry(f"Model{of}", type(model).__name__)]
    for name, title in _SETTINGS.items():
        value = getattr(model, name, None)
        if value:
            text = ", ".join(value) if isinstance(value, tuple) else str(value)
            entries.append(_entry(f"{title}{of}", text, code=name in ("formula", "shape")))
    if groups:
        varying = groups.items() if isinstance(groups, Mapping) else ((name, "1") for name in groups)
        named = (name if slope == "1" else f"{name} ({slope})" for name, slope in varying)
        entries.append(_entry(f"Random effects by{of}", ", ".join(named)))
    if getattr(model, "calendar", False):
        months = f"the level of each of {count(getattr(fit, 'n_months', 0))} calendar months"
        entries.append(_entry(f"Of all customers together{of}", months))
    own = _of_customers(model)
    if own:
        entries.append(_entry(f"Of each customer's own{of}", own))
    if priors:
        text = "; ".join(f"{name} ~ {priors[name]}" for name in sorted(priors))
        entries.append(_entry(f"Priors{of}", text, code=True))
    if terms:
        found = f"{count(fit.info.n_events)} for {count(terms)} terms: {number(fit.info.n_events / terms)} per term"
        entries.append(_entry(f"Events{of}", found))
    return entries


def _of_customers(model: object) -> str:
    """What a model lets differ from customer to customer, in words."""
    parts = ["a rhythm (gamma frailty)"] if getattr(model, "frailty", None) else []
    parts += ["perhaps gone for good, or immune (cured share)"] if getattr(model, "cure", False) else []
    return ", ".join(parts)


def _fitted_on(risk: RiskTable) -> str:
    info, words = risk.fit.info, words_of(risk.spells)
    events = {cause: one.info.n_events for cause, one in fits_of(risk.fit).items() if cause is not None}
    parts = ", ".join(f"{count(n)} {cause_label(cause)}" for cause, n in events.items())
    cells = f", in {count(info.n_cells)} cells" if info.n_cells else ""
    return (
        f"{quantity(info.n_spells, words.spell)} with {quantity(info.n_events, 'event')}{f' ({parts})' if parts else ''} over "
        f"{count(info.exposure)} days at risk{cells}"
    )


def _seeds(fit: SurvivalFit) -> str:
    return ", ".join(dict.fromkeys(str(getattr(one, "seed", 0)) for one in fits_of(fit).values()))


def _intervals(risk: RiskTable) -> str:
    kinds = {type(one).__name__ for one in fits_of(risk.fit).values()}
    effects = "; of effects: Wald (ci_kind='wald')" if kinds & {"CoxFit", "WeibullFit"} else ""
    return f"equal-tailed (ci_kind={risk.ci_kind!r}), probability {risk.ci_prob:g}{effects}"


def _versions(fit: SurvivalFit) -> str:
    sampled = any(math.isfinite(one.info.rhat_max) for one in fits_of(fit).values())
    names = (*(_SAMPLERS if sampled else ()), *_LIBRARIES)
    return f"churnsurv {version()}, " + ", ".join(f"{name} {_installed(name)}" for name in names)
