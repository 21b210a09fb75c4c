"""Networks of the literature: printed numbers, and agreement with two independent programs to 1e-9.

The networks are those of Scutari's repository, from the files that pgmpy ships. pgmpy answers by variable elimination,
pyAgrum by lazy propagation. pyAgrum reads files in single precision, so it is given the tables; its own reading is
compared to 1e-7.
"""

from __future__ import annotations

import gzip
import importlib.util
import itertools
import sys
import time
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from churnsurv.causes.inference.bif import read_bif, write_bif
from churnsurv.causes.inference.discrete_network import DiscreteNetwork
from churnsurv.causes.inference.exports import to_pgmpy
from churnsurv.errors import ModelSupportError, NetworkSizeError
from tests.causes.brute_force import random_network

with warnings.catch_warnings():
    # Each warns of its own parts when it is imported; pyAgrum's, turned into an error, ends the interpreter.
    warnings.simplefilter("ignore")
    import pyagrum
    from pgmpy.inference import VariableElimination
    from pgmpy.readwrite import BIFReader

SHIPPED = Path(str(importlib.util.find_spec("pgmpy").origin)).parent / "utils" / "example_models"  # type: ignore[union-attr]

EVIDENCE: dict[str, list[dict[str, str]]] = {
    "asia": [{"asia": "yes", "dysp": "yes"}, {"xray": "yes", "smoke": "no"}, {"either": "no", "dysp": "yes", "tub": "no"}],
    "cancer": [{"Dyspnoea": "True"}, {"Xray": "positive", "Smoker": "True"}],
    "earthquake": [{"JohnCalls": "True", "MaryCalls": "True"}, {"Alarm": "False", "Earthquake": "True"}],
    "survey": [{"T": "train"}, {"A": "old", "R": "small", "T": "car"}],
    "sachs": [{"Akt": "LOW"}, {"PKC": "HIGH", "Erk": "AVG", "Jnk": "LOW", "PIP3": "AVG"}],
    "child": [
        {"GruntingReport": "yes", "LowerBodyO2": "<5", "XrayReport": "Asy/Patchy"},
        {"Sick": "no", "CO2Report": ">=7.5", "LVHreport": "yes", "RUQO2": "12+"},
    ],
    "insurance": [
        {"ThisCarCost": "TenThou", "Age": "Adolescent"},
        {"MedCost": "Million", "ILiCost": "Thousand", "GoodStudent": "True", "CarValue": "FiveThou", "DrivHist": "Many"},
    ],
    "alarm": [
        {"HRBP": "HIGH", "BP": "LOW", "CVP": "LOW"},
        {"PRESS": "HIGH", "EXPCO2": "LOW", "MINVOL": "ZERO", "HREKG": "NORMAL", "HRSAT": "HIGH", "HISTORY": "TRUE"},
    ],
}  # fmt: skip
"""What is seen of each network, in two or three sets."""


def shipped_text(name: str) -> str:
    return gzip.decompress((SHIPPED / f"{name}.bif.gz").read_bytes()).decode()


@cache
def shipped(name: str) -> DiscreteNetwork:
    return read_bif(SHIPPED / f"{name}.bif.gz")


def in_pyagrum(network: DiscreteNetwork) -> Any:
    """The same tables in double precision."""
    made = pyagrum.BayesNet()
    for name in network.names:
        made.add(pyagrum.LabelizedVariable(name, name, list(network.states[name])))
    for name in network.names:
        for parent in network.parents[name]:
            made.addArc(parent, name)
        for states in itertools.product(*(network.states[parent] for parent in network.parents[name])):
            at = dict(zip(network.parents[name], states, strict=True))
            codes = tuple(network.states[parent].index(state) for parent, state in at.items())
            row = network.cpts[name][(0, *codes)].tolist()
            if at:
                made.cpt(name)[at] = row
            else:
                made.cpt(name).fillWith(row)
    return made


@pytest.mark.parametrize("name", EVIDENCE)
def test_every_marginal_and_posterior_agrees_with_two_programs(name):
    network = shipped(name)
    elimination, propagation = VariableElimination(to_pgmpy(network)), pyagrum.LazyPropagation(in_pyagrum(network))
    for evidence in [{}, *EVIDENCE[name]]:
        propagation.setEvidence(evidence)
        propagation.makeInference()
        assert network.probability_of(evidence) == pytest.approx(propagation.evidenceProbability(), rel=1e-9)
        for target in network.names:
            if target in evidence:
                continue
            found = network.query(target, evidence).draws[0]
            theirs = propagation.posterior(target)
            states = network.states[target]
            np.testing.assert_allclose(found, [theirs[{target: state}] for state in states], atol=1e-9)
            factor = elimination.query([target], evidence=evidence, show_progress=False)
            np.testing.assert_allclose(found, [factor.get_value(**{target: state}) for state in states], atol=1e-9)


@pytest.mark.parametrize("name", EVIDENCE)
def test_many_rows_agree_with_single_questions(name):
    network = shipped(name)
    for evidence in EVIDENCE[name]:
        nodes = list(evidence)
        codes = np.array([[network.states[n].index(evidence[n]) for n in nodes], [-1] * len(nodes)])
        codes = np.vstack([codes, np.where(np.arange(len(nodes)) % 2, codes[0], -1)])
        target = next(n for n in network.names if n not in evidence)
        answer = network.batch(target, codes, nodes)
        half = {n: evidence[n] for n in nodes[1::2]}
        for row, seen in enumerate((evidence, {}, half)):
            np.testing.assert_allclose(
                answer.draws[:, answer.inverse[row]], network.query(target, seen).draws, rtol=1e-12
            )


@pytest.mark.parametrize("name", ["child"])
def test_files_are_read_as_pgmpy_reads_them(name):
    theirs = BIFReader(string=shipped_text(name)).get_model()
    network = shipped(name)
    assert set(theirs.nodes()) == set(network.names)
    for node in network.names:
        factor, above = theirs.get_cpds(node).to_factor(), network.parents[node]
        for states in itertools.product(*(network.states[n] for n in above)):
            at = dict(zip(above, states, strict=True))
            row = np.array([factor.get_value(**at, **{node: state}) for state in network.states[node]])
            codes = tuple(network.states[n].index(state) for n, state in at.items())
            np.testing.assert_allclose(network.cpts[node][(0, *codes)], row / row.sum(), atol=1e-9)


@pytest.mark.parametrize("name", [name for name in EVIDENCE if name != "child"])  # Asy/Patch is no name for pyAgrum
@pytest.mark.parametrize("rewritten", [False, True])
def test_files_are_read_as_pyagrum_reads_them(name, rewritten, tmp_path):
    network, path = shipped(name), tmp_path / f"{name}.bif"
    path.write_text(write_bif(network) if rewritten else shipped_text(name), encoding="utf-8")
    theirs = pyagrum.loadBN(str(path))
    assert set(theirs.names()) == set(network.names)
    for node in network.names:
        assert theirs.variable(node).labels() == network.states[node]
        above = network.parents[node]
        for states in itertools.product(*(network.states[n] for n in above)):
            at = dict(zip(above, states, strict=True))
            row = [theirs.cpt(node)[{**at, node: state}] for state in network.states[node]]
            codes = tuple(network.states[n].index(state) for n, state in at.items())
            np.testing.assert_allclose(network.cpts[node][(0, *codes)], row, atol=1e-6)


@pytest.mark.parametrize("name", EVIDENCE)
def test_published_files_come_back_to_the_last_digit(name):
    network = shipped(name)
    again = read_bif(write_bif(network))
    assert (again.names, again.states, again.parents) == (network.names, network.states, network.parents)
    assert all(np.array_equal(again.cpts[node], network.cpts[node]) for node in network.names)


def test_chest_clinic_by_hand():
    """Lauritzen and Spiegelhalter (1988, *JRSS B*, 50, 157–224), table of section 2: sums of products of its numbers."""
    network = shipped("asia")
    tub, lung, bronc = 0.01 * 0.05 + 0.99 * 0.01, 0.5 * 0.1 + 0.5 * 0.01, 0.5 * 0.6 + 0.5 * 0.3
    either = tub + lung - tub * lung
    # Bronchitis and cancer share a cause: smokers and others apart.
    dysp = sum(
        0.5 * b * (e * 0.9 + (1 - e) * 0.8) + 0.5 * (1 - b) * (e * 0.7 + (1 - e) * 0.1)
        for b, e in ((0.6, tub + 0.1 * (1 - tub)), (0.3, tub + 0.01 * (1 - tub)))
    )
    for node, expected in {
        "tub": tub, "lung": lung, "bronc": bronc, "either": either, "xray": 0.98 * either + 0.05 * (1 - either), "dysp": dysp,
    }.items():  # fmt: skip
        assert network.query(node).mean()[0] == pytest.approx(expected, abs=1e-15)
    assert dysp == pytest.approx(0.436, abs=5e-4)
    assert network.query("tub", {"asia": "yes"}).mean()[0] == pytest.approx(0.05, abs=1e-15)
    assert network.query("tub", {"xray": "yes"}).mean()[0] == pytest.approx(
        tub * 0.98 / (0.98 * either + 0.05 * (1 - either)), abs=1e-15
    )


def burglary() -> DiscreteNetwork:
    """Russell and Norvig, *Artificial Intelligence: A Modern Approach*, figure 14.2 of the 3rd edition."""
    return DiscreteNetwork(
        names=["Burglary", "Earthquake", "Alarm", "JohnCalls", "MaryCalls"],
        states=dict.fromkeys(["Burglary", "Earthquake", "Alarm", "JohnCalls", "MaryCalls"], ("true", "false")),
        parents={"Alarm": ["Burglary", "Earthquake"], "JohnCalls": ["Alarm"], "MaryCalls": ["Alarm"]},
        cpts={
            "Burglary": [0.001, 0.999],
            "Earthquake": [0.002, 0.998],
            "Alarm": [[[0.95, 0.05], [0.94, 0.06]], [[0.29, 0.71], [0.001, 0.999]]],
            "JohnCalls": [[0.90, 0.10], [0.05, 0.95]],
            "MaryCalls": [[0.70, 0.30], [0.01, 0.99]],
        },
    )


@pytest.mark.parametrize(
    ("target", "evidence", "printed", "digits"),
    [
        # Section 14.4 of the 3rd edition: "about 28 %", <0.284, 0.716>.
        ("Burglary", {"JohnCalls": "true", "MaryCalls": "true"}, 0.284, 5e-4),
        # Section 15.2 of the 1st edition: the four kinds of inference.
        ("Burglary", {"JohnCalls": "true"}, 0.016, 5e-4),
        ("Burglary", {"Alarm": "true"}, 0.376, 3e-3),
        ("Burglary", {"Alarm": "true", "Earthquake": "true"}, 0.003, 5e-4),
    ],
)
def test_burglary_as_printed(target, evidence, printed, digits):
    assert burglary().query(target, evidence).mean()[0] == pytest.approx(printed, abs=digits)


@pytest.mark.parametrize("name", ["hailfinder", "hepar2", "win95pts", "water"])
def test_larger_networks_are_within_the_room(name):
    """All prior marginals, and one posterior given every leaf, of networks of 32 to 76 nodes, in a few milliseconds each."""
    network = shipped(name)
    start = time.perf_counter()
    for target in network.names:
        assert network.query(target).mean().sum() == pytest.approx(1, abs=1e-12)
    inner = {parent for above in network.parents.values() for parent in above}
    # The most likely state of each, one after the other: evidence that can be.
    seen: dict[str, str] = {}
    for node in network.order:
        codes = tuple(network.states[parent].index(seen[parent]) for parent in network.parents[node])
        seen[node] = network.states[node][int(network.cpts[node][(0, *codes)].argmax())]
    leaves = {node: state for node, state in seen.items() if node not in inner}
    answer = network.query(sorted(inner)[0], leaves)
    assert answer.mean().sum() == pytest.approx(1, abs=1e-12)
    assert time.perf_counter() - start < 20


def test_a_network_beyond_the_room_is_refused_at_once():
    """Every leaf of munin1 (186 nodes) ties the rest into one table of billions."""
    network = shipped("munin1")
    inner = {parent for above in network.parents.values() for parent in above}
    leaves = {node: network.states[node][0] for node in network.names if node not in inner}
    start = time.perf_counter()
    with pytest.raises(
        NetworkSizeError, match=r"each draw needs a table of [0-9,]{11,} numbers over [0-9]+ nodes: .* more;"
    ):
        network.query(sorted(inner)[0], leaves)
    assert time.perf_counter() - start < 10


def test_export_to_pgmpy_holds_the_same_tables():
    network = random_network(np.random.default_rng(5), n_draws=4)
    given = to_pgmpy(network)
    assert given.check_model()
    assert set(given.nodes()) == set(network.names)
    assert set(given.edges()) == {(p, name) for name in network.names for p in network.parents[name]}
    point = network.mean()
    for name in network.names:
        factor = given.get_cpds(name).to_factor()
        above = network.parents[name]
        for states in itertools.product(*(network.states[n] for n in (*above, name))):
            at = dict(zip((*above, name), states, strict=True))
            codes = tuple(network.states[n].index(state) for n, state in at.items())
            assert factor.get_value(**at) == point.cpts[name][(0, *codes)]


def test_export_without_pgmpy(monkeypatch):
    monkeypatch.setitem(sys.modules, "pgmpy.models", None)
    with pytest.raises(ModelSupportError, match=r"pgmpy is not installed: .*\nHint: pip install pgmpy"):
        to_pgmpy(burglary())
