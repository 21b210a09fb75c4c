"""Graphs of causes: what a graph claims, and what follows from it about effects. It knows no data."""

from churnsurv.dag.adjustment import adjustment_sets, proper_causal_paths
from churnsurv.dag.front_door import front_door_set
from churnsurv.dag.graph import Dag
from churnsurv.dag.identification import Identification, identify_effect
from churnsurv.dag.independences import Independence, implied_independences, not_testable
from churnsurv.dag.path import Path

__all__ = [
    "Dag",
    "Identification",
    "Independence",
    "Path",
    "adjustment_sets",
    "front_door_set",
    "identify_effect",
    "implied_independences",
    "not_testable",
    "proper_causal_paths",
]
