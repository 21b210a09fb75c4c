"""Graphs from papers and books, with what has been published of them.

The sets of DAGitty are those its own tests expect (github.com/jtextor/dagitty, test/test/misc.js and adjustment-dags.js,
r/tests/testthat/testAdjustments.R); the graphs are those of the papers named, as DAGitty ships them.
"""

from __future__ import annotations

from churnsurv.dag import Dag


def grown(children: dict[str, str], **settings: object) -> Dag:
    """Graph from each node's children, written in one line."""
    edges = [(node, child) for node, line in children.items() for child in line.split()]
    return Dag.from_edges(edges, nodes=children, **settings)  # type: ignore[arg-type]


# Pearl (2009), figure 1.2: season, rain, sprinkler, wet, slippery.
SPRINKLER = Dag.from_edges(["X1 -> X2 -> X4 -> X5", "X1 -> X3 -> X4"], nodes=["X1", "X2", "X3", "X4", "X5"])

# Pearl (2009), figure 3.4.
BACK_DOOR = grown({"X1": "X3 X4", "X2": "X4 X5", "X3": "Xi", "X4": "Xi Xj", "X5": "Xj", "Xi": "X6", "X6": "Xj"})

# Pearl (2009), figure 3.5.
FRONT_DOOR = Dag.from_edges(["X -> Z -> Y", "U -> X", "U -> Y"], latent="U")

# The graph of M-bias (Greenland, Pearl and Robins 1999, Epidemiology 10, 37–48), with an effect in it.
M_BIAS = Dag.from_edges(["A -> B", "U1 -> A", "U1 -> M", "U2 -> M", "U2 -> B"])

# Shrier and Platt (2008), BMC Medical Research Methodology 8:70.
SHRIER = {
    "Coach": "FitnessLevel TeamMotivation",
    "Genetics": "FitnessLevel NeuromuscularFatigue ConnectiveTissueDisorder",
    "TeamMotivation": "PreviousInjury WarmUpExercises",
    "PreGameProprioception": "WarmUpExercises",
    "ConnectiveTissueDisorder": "TissueWeakness NeuromuscularFatigue",
    "ContactSport": "IntraGameProprioception PreviousInjury",
    "TissueWeakness": "Injury",
    "IntraGameProprioception": "Injury",
    "FitnessLevel": "PreGameProprioception NeuromuscularFatigue",
    "NeuromuscularFatigue": "IntraGameProprioception Injury",
    "WarmUpExercises": "IntraGameProprioception",
}

# Polzer et al. (2012), Clinical Oral Investigations 16(2), 333–351.
_ON_BOTH = "ToothLoss Mortality Periodontitis Caries Diabetes Obesity Hypertension"
POLZER = grown(
    {
        "ToothLoss": "Mortality",
        "Periodontitis": "ToothLoss",
        "Caries": "ToothLoss",
        "Diabetes": "Mortality Periodontitis Hypertension Lipids",
        "Obesity": "Mortality Periodontitis Diabetes Hypertension Lipids",
        "Hypertension": "Mortality",
        "Psychosocial": f"{_ON_BOTH} Alcohol Smoking Sport Lipids",
        "Age": f"{_ON_BOTH} Psychosocial Alcohol Smoking Sport Lipids",
        "Sex": f"{_ON_BOTH} Psychosocial Alcohol Smoking Sport Lipids",
        "Alcohol": "ToothLoss Mortality Diabetes Obesity Hypertension Smoking Lipids",
        "Smoking": "ToothLoss Mortality Periodontitis Diabetes Obesity Hypertension Sport",
        "Sport": "Mortality Periodontitis Diabetes Obesity Hypertension Lipids",
        "Lipids": "Mortality",
    }
)

# DAGitty's "many variables but few paths".
FEW_PATHS = grown(
    {
        "1": "E", "2": "1", "3": "2", "4": "3", "5": "4", "6": "5", "7": "6 E", "8": "7 D", "9": "8", "10": "9",
        "11": "10", "12": "11", "13": "12", "14": "13", "15": "14 D", "E": "D",
    }
)  # fmt: skip

# Nameless graphs of DAGitty's tests.
BIG = grown(
    {
        "S": "T", "a": "h c T", "b": "e f", "d": "j i", "e": "a f", "f": "n", "g": "d m j", "h": "T S", "i": "h T",
        "i4": "p", "m": "j i", "n": "c S", "o": "y q", "p": "q o", "q": "y", "x": "S o p", "z": "T q p",
    }
)  # fmt: skip
TWO_TRIANGLES = grown({"t": "xobs", "u1": "t y", "u2": "t xobs", "xobs": "y"})
LADDER = grown({"S": "T", "h": "S", "i": "h T", "x": "S z", "z": "T"})
JOINT = Dag.from_edges(["X1 -> V1 -> X2 -> Y", "V1 -> X3"])
ABOVE_NO_CAUSE = {"X1": "M1", "Y": "M2", "M1": "M2", "M2": "X2"}

# An epidemiologist's graph of childhood allergy in DAGitty's tests, 24 nodes.
ALLERGY = grown(
    {
        "E": "D AllergischeSensibilisierung",
        "Genetische": "D AllergischeSensibilisierung",
        "Etnische": "Genetische D Stillen",
        "Begleiterkrankungen": "D E",
        "RauchenMutter": "D Stillen Schwangerschaft E",
        "RauchenAnderer": "D Stillen E",
        "Stillen": "Darmflora AllergischeSensibilisierung",
        "DiätMutter": "Stillen D",
        "Darmflora": "D AllergischeSensibilisierung E",
        "Hausstaub": "Darmflora AllergischeSensibilisierung",
        "Haustiere": "Hausstaub Darmflora AllergischeSensibilisierung Erregerexposition",
        "AllergischeSensibilisierung": "D",
        "Allergenexposition": "Darmflora E AllergischeSensibilisierung",
        "Impfungen": "Darmflora E",
        "VitD": "E",
        "Infektionen": "E Darmflora Erregerexposition D",
        "Erregerexposition": "E D",
        "Geburtsmodus": "Erregerexposition Darmflora",
        "Geburtsort": "Erregerexposition",
        "Geschwister": "AllergischeSensibilisierung Erregerexposition",
        "BetreuungKind": "Infektionen Erregerexposition AllergischeSensibilisierung",
        "Antibiotika": "Infektionen Darmflora D Erregerexposition",
    }
)
