"""Identification on graphs with published answers, and what the answers and refusals say."""

from __future__ import annotations

import pytest

from churnsurv.dag import (
    Dag,
    Identification,
    adjustment_sets,
    front_door_set,
    identify_effect,
    proper_causal_paths,
)
from churnsurv.errors import GraphError, IdentificationError, NetworkSizeError
from tests.dag import published

SHOP = Dag.from_edges(
    [
        "plan -> late -> wait -> churn",
        "plan -> churn",
        "wait -> rating -> alert",
        "late -> mail",
        "churn -> survey",
        "region -> churn",
        "u -> plan",
        "u -> m",
        "w -> m",
        "w -> churn",
    ],
    latent=["u", "w"],
)


def sets(*several: str) -> list[frozenset[str]]:
    return [frozenset(one.split()) for one in several]


def minimal(dag: Dag, cause: object, outcome: str, given: object = ()) -> set[frozenset[str]]:
    return {frozenset(one) for one in adjustment_sets(dag, cause, outcome, given)}  # type: ignore[arg-type]


# Published ----------------------------------------------------------------------------------------------


def test_sprinkler_as_in_pearl() -> None:
    """Section 1.2.3: rain and sprinkler are separated by the season, not by it and a slippery pavement."""
    dag = published.SPRINKLER
    assert dag.d_separated("X2", "X3", "X1")
    assert not dag.d_separated("X2", "X3", ["X1", "X5"])
    assert dag.d_separated("X1", "X5", "X4")


def test_back_door_as_in_pearl() -> None:
    """Section 3.3.1: {X3, X4} and {X4, X5} meet the criterion, {X4} does not: it opens a path."""
    dag = published.BACK_DOOR
    assert {frozenset(["X3", "X4"]), frozenset(["X4", "X5"])} < minimal(dag, "Xi", "Xj")
    assert minimal(dag, "Xi", "Xj") == set(sets("X1 X4", "X2 X4", "X3 X4", "X4 X5"))
    assert identify_effect(dag, "Xi", "Xj").adjustment_set == ("X1", "X4")
    assert identify_effect(dag, "Xi", "Xj", adjustment=["X4", "X5"]).adjustment_set == ("X4", "X5")
    with pytest.raises(IdentificationError, match="'X4' opens Xi <- X3 <- X1 -> X4 <- X2 -> X5 -> Xj"):
        identify_effect(dag, "Xi", "Xj", adjustment="X4")


def test_front_door_as_in_pearl() -> None:
    found = identify_effect(published.FRONT_DOOR, "X", "Y")
    assert (found.status, found.identified, found.adjustment_set) == ("not identified", False, None)
    assert str(found.open_path) == "X <- U -> Y"
    assert found.front_door == ("Z",) == front_door_set(published.FRONT_DOOR, "X", "Y")
    assert identify_effect(published.FRONT_DOOR, "X", "Z").adjustment_set == ()
    assert identify_effect(published.FRONT_DOOR, "Z", "Y").adjustment_set == ("X",)


@pytest.mark.parametrize(
    ("dag", "cause", "outcome", "given", "expected"),
    [
        (published.M_BIAS, "A", "B", (), sets("")),
        (published.M_BIAS, "A", "B", "M", sets("M U1", "M U2")),
        (published.POLZER, "ToothLoss", "Mortality", (), sets(
            "Age Alcohol Diabetes Obesity Psychosocial Sex Smoking Sport",
            "Age Alcohol Periodontitis Psychosocial Sex Smoking",
        )),
        (published.grown(published.SHRIER, latent=["Genetics", "ConnectiveTissueDisorder", "IntraGameProprioception"]),
         "WarmUpExercises", "Injury", "FitnessLevel", sets(
            "Coach FitnessLevel", "FitnessLevel NeuromuscularFatigue TissueWeakness", "FitnessLevel TeamMotivation",
        )),
        (published.FEW_PATHS, "E", "D", (), sets("7", "8")),
        (published.TWO_TRIANGLES, "xobs", "y", (), sets("t u2", "u1")),
        (published.LADDER, "S", "T", (), sets("h x", "h z", "i x", "i z")),
        (published.JOINT, ["X1", "X2", "X3"], "Y", (), sets("")),
        (published.grown(published.ABOVE_NO_CAUSE), ["X1", "X2"], "Y", (), sets("M1 M2")),
        (published.grown(published.ABOVE_NO_CAUSE | {"X1": "M1 Y"}), ["X1", "X2"], "Y", (), []),
        (Dag.from_edges(["X -> Y", "X -> I -> Y", "Z -> X", "Z -> I"], latent="I"), "X", "Y", (), sets("Z")),
    ],
)  # fmt: skip
def test_minimal_sets_as_in_dagitty(dag, cause, outcome, given, expected) -> None:
    found = adjustment_sets(dag, cause, outcome, given)
    assert sorted(map(sorted, found)) == sorted(map(sorted, expected))
    # The first listed is the one that is used; the two are found in different ways.
    best = identify_effect(dag, cause, outcome, given=given)
    if not expected:
        assert best.status == "not identified"
    elif not best.no_effect:
        assert best.adjustment_set == found[0]
    for one in expected:
        assert identify_effect(dag, cause, outcome, given=given, adjustment=one).identified


def test_m_bias_with_a_given_confounder_needs_nothing_more() -> None:
    """DAGitty's list with U1, called A there, adjusted for: {A}."""
    assert minimal(published.M_BIAS, "A", "B", "U1") == set(sets("U1"))


def test_smallest_set_of_a_large_graph_as_in_dagitty(refuses) -> None:
    """Three minimal sets of 8, 12 and 13 nodes in a graph of 24."""
    found = identify_effect(published.ALLERGY, "E", "D")
    assert set(found.adjustment_set or ()) == {
        "Allergenexposition", "Begleiterkrankungen", "Darmflora", "Erregerexposition", "Impfungen", "Infektionen",
        "RauchenAnderer", "RauchenMutter",
    }  # fmt: skip
    with refuses(NetworkSizeError, "20 nodes could be adjusted for; all their sets are 1,048,576.", count=20):
        adjustment_sets(published.ALLERGY, "E", "D")


def test_smallest_set_of_another_large_graph_as_in_dagitty() -> None:
    """Eight minimal sets of 4 nodes, y in each; the first declared is used."""
    listed = sets("a h x y", "a h y z", "e h x y", "e h y z", "f h x y", "f h y z", "h n x y", "h n y z")
    found = identify_effect(published.BIG, "S", "T", given="y")
    assert found.adjustment_set == published.BIG.in_order("ahxy")
    for one in listed:
        assert identify_effect(published.BIG, "S", "T", given="y", adjustment=one).identified
        for node in one - {"y"}:
            with pytest.raises(IdentificationError):
                identify_effect(published.BIG, "S", "T", given="y", adjustment=one - {node})


def test_joint_intervention_has_all_sets_of_dagitty() -> None:
    """V1 follows from X1 and lies before X2, yet on no proper causal path: it may be adjusted for, and need not be."""
    causes = ["X1", "X2", "X3"]
    assert identify_effect(published.JOINT, causes, "Y", adjustment="V1").adjustment_set == ("V1",)
    assert [str(path) for path in proper_causal_paths(published.JOINT, causes, "Y")] == ["X2 -> Y"]
    with pytest.raises(IdentificationError):
        identify_effect(published.JOINT, "X1", "Y", adjustment="V1")


# Several causes -----------------------------------------------------------------------------------------


def test_a_joint_effect_can_be_had_where_a_single_one_cannot() -> None:
    dag = Dag.from_edges(["x1 -> x2 -> y", "h -> x1", "h -> x2"], latent="h")
    assert identify_effect(dag, "x1", "y").status == "not identified"
    assert identify_effect(dag, ["x2", "x1"], "y").adjustment_set == ()
    assert identify_effect(dag, ["x2", "x1"], "y").cause == ("x1", "x2")


def test_the_joint_set_is_not_the_union() -> None:
    """x1 alone needs z, x2 alone needs x1 too; both together need z only."""
    dag = Dag.from_edges(["z -> x1 -> x2 -> y", "z -> x2", "z -> y", "x1 -> y"])
    assert adjustment_sets(dag, "x1", "y") == [("z",)]
    assert adjustment_sets(dag, "x2", "y") == [("z", "x1")]
    assert adjustment_sets(dag, ["x1", "x2"], "y") == [("z",)]


def test_time_varying_confounding_needs_more_than_adjustment() -> None:
    dag = Dag.from_edges(["x1 -> m -> y", "m -> x2 -> y"])
    found = identify_effect(dag, ["x1", "x2"], "y")
    assert str(found.open_path) == "x2 <- m -> y"
    assert found.reason == (
        "x2 <- m -> y stays open whatever is adjusted for: m comes after a cause and must not be adjusted for. "
        "Adjustment cannot give the effect; nothing is latent, so the product of the tables of all nodes does."
    )


def test_a_cause_that_does_nothing_spoils_a_joint_effect_and_the_answer_says_so() -> None:
    dag = Dag.from_edges(["x1 -> y", "u -> x2", "u -> y"], latent="u")
    found = identify_effect(dag, ["x1", "x2"], "y")
    assert found.status == "not identified"
    assert found.reason.endswith(
        "x2 acts on y through the other causes only, if at all: leave it out of cause=, and the same effect is identified."
    )
    assert identify_effect(dag, "x1", "y").identified
    loop = identify_effect(Dag.from_edges(["x1 -> y", "y -> x2"]), ["x1", "x2"], "y")
    assert str(loop.open_path) == "x2 <- y"
    hopeless = Dag.from_edges(["x1 -> y", "u -> x1", "u -> x2", "u -> y"], latent="u")
    assert "leave it out" not in identify_effect(hopeless, ["x1", "x2"], "y").reason


# What an answer says ------------------------------------------------------------------------------------


def test_identified() -> None:
    found = identify_effect(SHOP, "late", "churn")
    assert repr(found) == "Identification(P(churn | do(late)): identified, adjustment_set=('plan',))"
    assert found.identified
    assert str(found) == (
        "P(churn | do(late)) is identified: adjusting for plan blocks every path from late to churn that is not causal."
    )
    assert found.formula == "P(churn | do(late)) = Σ_{plan} P(churn | late, plan) P(plan)"
    assert [str(path) for path in found.causal_paths] == ["late -> wait -> churn"]
    assert (found.open_path, found.no_effect, found.front_door, found.given) == (None, False, None, ())


def test_identified_within_a_segment() -> None:
    found = identify_effect(SHOP, "late", "churn", given="region")
    assert (found.given, found.adjustment_set) == (("region",), ("plan", "region"))
    assert found.formula == "P(churn | do(late), region) = Σ_{plan} P(churn | late, plan, region) P(plan | region)"
    alone = identify_effect(SHOP, "plan", "churn", given="region")
    assert (alone.adjustment_set, alone.formula) == (
        ("region",),
        "P(churn | do(plan), region) = P(churn | plan, region)",
    )
    chosen = identify_effect(SHOP, "late", "churn", given="region", adjustment=["mail", "plan"])
    assert chosen.adjustment_set == ("plan", "mail", "region")


def test_nothing_to_adjust_for() -> None:
    found = identify_effect(SHOP, "plan", "churn")
    assert found.adjustment_set == ()
    assert found.reason == "only causal paths from plan to churn are open; nothing need be adjusted for."
    assert found.formula == "P(churn | do(plan)) = P(churn | plan)"


def test_no_effect() -> None:
    found = identify_effect(SHOP, "churn", "late")
    assert (found.status, found.no_effect, found.adjustment_set, found.causal_paths) == ("identified", True, (), ())
    assert repr(found) == "Identification(P(late | do(churn)): identified, no effect)"
    assert found.reason == ("no arrows lead from churn to late, so nothing done to the former changes the latter.")
    assert found.formula == "P(late | do(churn)) = P(late)"
    within = identify_effect(SHOP, "churn", "late", given="region")
    assert (within.formula, within.adjustment_set) == ("P(late | do(churn), region) = P(late | region)", ("region",))


def test_no_effect_is_not_shown_by_a_set_that_leaves_a_path_open(refuses) -> None:
    assert identify_effect(SHOP, "churn", "late", adjustment=["plan", "wait"]).no_effect
    with refuses(IdentificationError, "with plan adjusted for, churn <- wait <- late stays open."):
        identify_effect(SHOP, "churn", "late", adjustment="plan")


def test_associational() -> None:
    found = Identification.associational("churn", given=["late", "plan"])
    assert (found.status, found.identified, found.adjustment_set) == ("associational", False, None)
    assert str(found) == (
        "P(churn | late, plan) is associational: nothing is set. "
        "Customers who differ in late and plan may differ in much else."
    )
    assert str(Identification.associational("churn")) == "P(churn) is associational: nothing is set."
    assert found.formula == ""


def test_hidden_confounder() -> None:
    dag = Dag.from_edges(["wait -> churn", "hidden -> wait", "hidden -> churn"], latent="hidden")
    found = identify_effect(dag, "wait", "churn")
    assert repr(found) == ("Identification(P(churn | do(wait)): not identified, open_path=wait <- hidden -> churn)")
    assert found.reason == "wait <- hidden -> churn stays open whatever is adjusted for: hidden is not in the data."
    assert (found.formula, found.front_door) == ("", None)
    assert found.causal_paths


def test_front_door_is_told_and_not_used() -> None:
    assert identify_effect(published.FRONT_DOOR, "X", "Y").reason == (
        "X <- U -> Y stays open whatever is adjusted for: U is not in the data. Adjustment cannot give the effect; "
        "Z would, by the front-door criterion, from which no estimate is made here."
    )
    dag = Dag.from_edges(["X -> Z -> Y", "U -> X", "U -> Y", "S -> Y"], latent="U")
    assert identify_effect(dag, "X", "Y", given="S").front_door is None


def test_butterfly_with_hidden_wings() -> None:
    """m confounds, and adjusting for it opens the path it collides on: no set will do, and no path is to blame alone."""
    edges = ["u -> x", "u -> m", "w -> m", "w -> y", "m -> x", "m -> y", "x -> y"]
    found = identify_effect(Dag.from_edges(edges, latent=["u", "w"]), "x", "y")
    assert str(found.open_path) == "x <- u -> m <- w -> y"
    assert found.reason == (
        "no set of observed nodes blocks all paths at once: x <- u -> m <- w -> y is open with m adjusted for, "
        "x <- m -> y without."
    )
    assert minimal(Dag.from_edges(edges, latent="u"), "x", "y") == set(sets("m w"))
    assert minimal(Dag.from_edges(edges), "x", "y") == set(sets("m u", "m w"))


def test_a_segment_that_opens_a_path() -> None:
    found = identify_effect(SHOP, "plan", "churn", given="m")
    assert found.status == "not identified"
    assert found.reason == (
        "plan <- u -> m <- w -> churn stays open whatever is adjusted for: u and w are not in the data, and with m given, "
        "it is open at m."
    )


# What is refused ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "parts"),
    [
        ("wait", (
            "1 of 1 nodes of `given` comes after the cause: 'wait' is a mediator, late -> wait -> churn.",
            "The part of the effect that goes through wait would be taken away, and not counted.",
            "leave 'wait' out of given:",
        )),
        (["region", "rating"], (
            "1 of 2 nodes of `given` comes after the cause: 'rating' is a descendant of the mediator wait, wait -> rating.",
            "It tells of wait, and a part of the effect that goes through wait would be taken away.",
            "leave 'rating' out of given:",
        )),
        ("survey", ("'survey' is a consequence of the outcome, churn -> survey.", "Who is compared would depend")),
        (["mail", "wait"], ("2 of 2 nodes of `given` come after the cause: 'wait' is a mediator",)),
        ("mail", (
            "'mail' is a consequence of the cause, late -> mail.",
            "Who belongs to the group would depend on the cause that is set.",
        )),
    ],
)  # fmt: skip
def test_a_segment_that_the_cause_changes(refuses, given, parts) -> None:
    for ask in (identify_effect, adjustment_sets):
        with refuses(IdentificationError, *parts, column="given"):
            ask(SHOP, "late", "churn", given=given)


def test_a_segment_that_the_cause_changes_and_that_opens_a_path(refuses) -> None:
    dag = Dag.from_edges(["x -> y", "x -> d", "w -> d", "w -> y"], latent="w")
    with refuses(IdentificationError, "Conditioning on it opens x -> d <- w -> y."):
        identify_effect(dag, "x", "y", given="d")


@pytest.mark.parametrize(
    ("cause", "adjustment", "parts"),
    [
        ("late", ["plan", "wait"], (
            "1 of 2 nodes of `adjustment` must not be adjusted for: 'wait' is a mediator, late -> wait -> churn.",
            "write adjustment=['plan'], or leave it out",
        )),
        ("late", ["alert", "survey"], (
            "2 of 2 nodes of `adjustment` must not be adjusted for: "
            "'alert' is a descendant of the mediator wait, wait -> rating -> alert.",
        )),
        ("late", "survey", ("'survey' is a consequence of the outcome, churn -> survey.",)),
        ("late", (), (
            "with nothing adjusted for, late <- plan -> churn stays open.",
            "What customers have in common along this path would be counted as an effect.",
            "write adjustment=['plan']",
        )),
        ("plan", "m", (
            "with m adjusted for, 'm' opens plan <- u -> m <- w -> churn.",
            "Both arrows meet at m: causes of one thing are associated once it is known.",
            "write adjustment=[], or leave it out",
        )),
        ("plan", "u", ("'u' is latent: the data do not show it, and nobody can adjust for it.",)),
        ("plan", "plan", ("'plan' is a cause and cannot be adjusted for.",)),
        ("plan", "churn", ("'churn' is the outcome and cannot be adjusted for.",)),
    ],
)  # fmt: skip
def test_a_set_that_does_not_give_the_effect(refuses, cause, adjustment, parts) -> None:
    with refuses(IdentificationError, *parts):
        identify_effect(SHOP, cause, "churn", adjustment=adjustment)


def test_a_set_that_tells_of_a_collider(refuses) -> None:
    dag = Dag.from_edges([*published.M_BIAS.edges, ("M", "D")], latent=["U1", "U2"])
    with refuses(IdentificationError, "with D adjusted for, 'D' tells of 'M' and opens A <- U1 -> M <- U2 -> B."):
        identify_effect(dag, "A", "B", adjustment="D")


def test_a_mediator_of_one_cause_of_several(refuses) -> None:
    dag = Dag.from_edges(["x1 -> a -> m -> y", "x2 -> m -> s", "x1 -> x2"])
    with refuses(IdentificationError, "'m' is a mediator, x2 -> m -> y."):
        identify_effect(dag, ["x1", "x2"], "y", adjustment="m")
    with refuses(IdentificationError, "'a' is a mediator, x1 -> a -> m -> y."):
        identify_effect(dag, ["x1", "x2"], "y", given="a")


def test_no_set_to_point_to(refuses) -> None:
    with refuses(IdentificationError, "X <- U -> Y stays open.", "no set of observed nodes will do"):
        identify_effect(published.FRONT_DOOR, "X", "Y", adjustment=())


@pytest.mark.parametrize(
    ("error", "question", "parts"),
    [
        (IdentificationError, {"cause": []}, ("there are 0 and 1.",)),
        (IdentificationError, {"outcome": ["churn", "wait"]}, ("there are 1 and 2.",)),
        (IdentificationError, {"cause": "churn"}, ("churn is in two of `cause`, `outcome` and `given`.",)),
        (IdentificationError, {"given": "late"}, ("late is in two of",)),
        (IdentificationError, {"given": ["late", "churn"]}, ("late and churn are in two of",)),
        (IdentificationError, {"cause": "u"}, ("u is latent: the data do not show it.",)),
        (IdentificationError, {"given": ["u", "w"]}, ("u and w are latent", "neither compared nor conditioned on")),
        (GraphError, {"cause": "lat"}, ("did you mean 'late'?",)),
        (GraphError, {"outcome": "chrun"}, ("did you mean 'churn'?",)),
        (GraphError, {"given": "regoin"}, ("did you mean 'region'?",)),
        (GraphError, {"adjustment": "paln"}, ("did you mean 'plan'?",)),
        (GraphError, {"cause": 7}, ("`cause`=7 does not name nodes.",)),
    ],
)
def test_questions_without_sense(refuses, error, question, parts) -> None:
    with refuses(error, *parts):
        identify_effect(SHOP, **{"cause": "late", "outcome": "churn", **question})


# Paths and front doors ----------------------------------------------------------------------------------


def test_causal_paths_are_proper_and_short_ones_come_first() -> None:
    dag = Dag.from_edges(["x -> a -> b -> y", "x -> b", "a -> y", "x -> y", "y -> z", "c -> x"])
    paths = [str(path) for path in proper_causal_paths(dag, "x", "y")]
    assert paths == ["x -> y", "x -> a -> y", "x -> b -> y", "x -> a -> b -> y"]
    assert [str(path) for path in proper_causal_paths(dag, ["x", "a"], "y")] == [
        "x -> y",
        "a -> y",
        "x -> b -> y",
        "a -> b -> y",
    ]
    assert proper_causal_paths(dag, "y", "x") == ()


def test_too_many_causal_paths_are_not_listed(refuses) -> None:
    """Between the ends of a complete graph of 16 nodes are 2^14 of them; the effect is identified all the same."""
    nodes = [f"n{i:02}" for i in range(16)]
    dag = Dag.from_edges([(a, b) for i, a in enumerate(nodes) for b in nodes[i + 1 :]])
    with refuses(NetworkSizeError, "more than 10,000 causal paths from n00 to n15."):
        proper_causal_paths(dag, "n00", "n15")
    assert len(proper_causal_paths(dag, "n03", "n15")) == 2**11
    found = identify_effect(dag, "n00", "n15")
    assert (len(found.causal_paths), str(found.causal_paths[0])) == (100, "n00 -> n15")


def test_front_doors() -> None:
    assert front_door_set(Dag.from_edges(["x -> y"]), "x", "y") is None
    assert front_door_set(Dag.from_edges(["y -> x"]), "x", "y") is None
    two = ["x -> a -> y", "x -> b -> y", "u -> x", "u -> y"]
    assert front_door_set(Dag.from_edges(two, latent="u"), "x", "y") == ("a", "b")
    assert front_door_set(Dag.from_edges([*two, "u -> a"], latent="u"), "x", "y") is None
    assert front_door_set(Dag.from_edges([*two, "x -> y"], latent="u"), "x", "y") is None
    chain = Dag.from_edges(["x -> a -> b -> y", "u -> x", "u -> y"], nodes=["b"], latent="u")
    assert front_door_set(chain, "x", "y") == ("b",)
    helped = Dag.from_edges(["x -> z -> y", "w -> z", "w -> y", "u -> x", "u -> y"], latent="u")
    assert front_door_set(helped, "x", "y") == ("z", "w")


def test_too_wide_a_front_door_is_not_searched(refuses) -> None:
    wide = Dag.from_edges([*(f"x -> m{i} -> y" for i in range(16)), "u -> x", "u -> y"], latent="u")
    with refuses(NetworkSizeError, "16 nodes could be in a front-door set; all their sets are 65,536.", count=16):
        front_door_set(wide, "x", "y")
    assert len(identify_effect(wide, "x", "y").front_door or ()) == 16
