"""Data printed in textbooks and in the tests of other packages, for several test files here.

Times are written with a plus where censored, and as 4.5*2 where they occur twice.
"""

from __future__ import annotations

# Acute myelogenous leukaemia, weeks of remission: Miller (1981), Survival Analysis, p. 49; `aml` in R's survival.
AML = {"maintained": "9 13 13+ 18 23 28+ 31 34 45+ 48 161+", "nonmaintained": "5*2 8*2 12 16+ 23 27 30 33 43 45"}

# Weeks of remission under 6-MP: Klein and Moeschberger (2003), section 1.2.
SIX_MP = "6*3 6+ 7 9+ 10 10+ 11+ 13 16 17+ 19+ 20+ 22 23 25+ 32+*2 34+ 35+"

# Months to infection of dialysis patients by catheter placement: Klein and Moeschberger (2003), section 1.4.
CATHETER = {
    "surgical": "1.5 3.5 4.5*2 5.5 8.5*2 9.5 10.5 11.5 15.5 16.5 18.5 23.5 26.5 2.5+*2 3.5+*3 4.5+ 5.5+ 6.5+*2 7.5+*4 "
    "8.5+ 9.5+ 10.5+ 11.5+ 12.5+*2 13.5+ 14.5+*2 21.5+*2 22.5+*2 25.5+ 27.5+",
    "percutaneous": "0.5*6 2.5*2 3.5 6.5 15.5 0.5+*10 1.5+*4 2.5+*5 3.5+*5 4.5+*3 5.5+*5 6.5+ 7.5+*3 8.5+*3 9.5+*2 "
    "10.5+*3 11.5+*2 12.5+*4 14.5+*2 16.5+*2 18.5+ 19.5+*3 20.5+ 22.5+ 24.5+ 25.5+ 26.5+*2 28.5+",
}

# Days of disease-free survival after bone marrow transplantation: Klein and Moeschberger (2003), section 1.3.
TRANSPLANT = {
    "ALL": "1 55 74 86 104 107 109 110 122*2 129 172 192 194 230 276 332 383 418 466 487 526 609 662 226+ 530+ 996+ 1111+ "
    "1167+ 1182+ 1199+ 1330+ 1377+ 1433+ 1462+ 1496+ 1602+ 2081+",
    "AML high risk": "422 162 84 100 2 47*2 242 456 268 318 32 467 390 183 105 115 164 93 120 80 677 64 168 74 16 157 625 "
    "48 273 63 76 113 363 2640+ 2430+ 2252+ 2140+ 2133+ 1238+ 1631+ 2024+ 1345+ 1136+ 845+",
    "AML low risk": "414 2204 1063 481 105 641 390 288 421 79 748 486 48 272 1074 381 10 53 80 35 248 704 211 219 606 "
    "2569+ 2506+ 2409+ 2218+ 1857+ 1829+ 1562+ 1470+ 1363+ 1030+ 860+ 1258+ 2246+ 1870+ 1799+ 1709+ 1674+ 1568+ 1527+ "
    "1324+ 957+ 932+ 847+ 848+ 1850+ 1843+ 1535+ 1447+ 1384+",
}

# Causes (0 censored) of 100 exponential times in increasing order, and how many lie below 1, 2, 3, 4, 5: the data of
# `cuminc(ss, cc)` in tests/test.R of cmprsk 2.2-12 (seed 2, generators of R 1.6.2), whose tests/test.Rout.save prints
# what follows.
CUMINC_CAUSES = "0002120122122021000221102111112220211200111122101221022221122220010000012100002220102101011222012001"
CUMINC_BELOW = [58, 87, 96, 99, 99]
CUMINC_ESTIMATES = [
    [0.2352861, 0.3287068, 0.4247898, 0.4247898, 0.4247898],
    [0.2567862, 0.3931580, 0.4631781, 0.4911861, 0.4911861],
]
CUMINC_VARIANCES = [
    [0.002062112, 0.002957844, 0.004170634, 0.004170634, 0.004170634],
    [0.002190305, 0.003273248, 0.004004514, 0.004369940, 0.004369940],
]


def spells(text: str) -> tuple[list[float], list[bool]]:
    """Exit and event of each spell."""
    exits: list[float] = []
    events: list[bool] = []
    for word in text.split():
        time, _, times = word.partition("*")
        exits += [float(time.rstrip("+"))] * int(times or 1)
        events += [not time.endswith("+")] * int(times or 1)
    return exits, events


def grouped(groups: dict[str, str]) -> tuple[list[float], list[bool], list[str]]:
    """Exit, event and group of each spell."""
    exits: list[float] = []
    events: list[bool] = []
    labels: list[str] = []
    for label, text in groups.items():
        exit_, event = spells(text)
        exits, events, labels = exits + exit_, events + event, labels + [label] * len(exit_)
    return exits, events, labels
