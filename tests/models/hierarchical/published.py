"""Data and results that others have printed."""

# Days to infection at the catheter of 38 patients on portable dialysis, twice each: patient, days, infected (or removed
# for another reason), age, sex (1 man, 2 woman). McGilchrist and Aisbett (1991), Biometrics 47, 461–466; `kidney` in R's
# survival.
KIDNEY = """
1,8,1,28,1 1,16,1,28,1 2,23,1,48,2 2,13,0,48,2 3,22,1,32,1 3,28,1,32,1 4,447,1,31,2 4,318,1,32,2 5,30,1,10,1 5,12,1,10,1
6,24,1,16,2 6,245,1,17,2 7,7,1,51,1 7,9,1,51,1 8,511,1,55,2 8,30,1,56,2 9,53,1,69,2 9,196,1,69,2 10,15,1,51,1
10,154,1,52,1 11,7,1,44,2 11,333,1,44,2 12,141,1,34,2 12,8,0,34,2 13,96,1,35,2 13,38,1,35,2 14,149,0,42,2 14,70,0,42,2
15,536,1,17,2 15,25,0,17,2 16,17,1,60,1 16,4,0,60,1 17,185,1,60,2 17,177,1,60,2 18,292,1,43,2 18,114,1,44,2 19,22,0,53,2
19,159,0,53,2 20,15,1,44,2 20,108,0,44,2 21,152,1,46,1 21,562,1,47,1 22,402,1,30,2 22,24,0,30,2 23,13,1,62,2 23,66,1,63,2
24,39,1,42,2 24,46,0,43,2 25,12,1,43,1 25,40,1,43,1 26,113,0,57,2 26,201,1,58,2 27,132,1,10,2 27,156,1,10,2 28,34,1,52,2
28,30,1,52,2 29,2,1,53,1 29,25,1,53,1 30,130,1,54,2 30,26,1,54,2 31,27,1,56,2 31,58,1,56,2 32,5,0,50,2 32,43,1,51,2
33,152,1,57,2 33,30,1,57,2 34,190,1,44,2 34,5,0,45,2 35,119,1,22,2 35,8,1,22,2 36,54,0,42,2 36,16,0,42,2 37,6,0,52,2
37,78,1,52,2 38,63,1,60,1 38,8,0,60,1
"""

# AIC and BIC of gamma frailty models of these data, by baseline hazard: select.parfm in the vignette of R's parfm 2.7.6.
KIDNEY_AIC = {"piecewise": 674, "weibull": 674, "lognormal": 679}
KIDNEY_BIC = {"piecewise": 684, "weibull": 686, "lognormal": 691}

# Failures, and thousands of hours in operation, of ten pumps: Gaver and O'Muircheartaigh (1987), Technometrics 29, 1–15.
PUMPS = [
    (5, 94.3),
    (1, 15.7),
    (5, 62.9),
    (14, 126.0),
    (3, 5.24),
    (19, 31.4),
    (1, 1.05),
    (1, 1.05),
    (4, 2.1),
    (22, 10.5),
]

# Posterior mean and Monte Carlo standard error of each pump's rate, then of alpha and beta: the example "Pumps" in the
# documentation of Mamba.jl (doc/examples/pumps.rst), 7,500 draws.
PUMPS_POSTERIOR = [
    (0.0597276, 0.000357021), (0.0997635, 0.00113173), (0.0889841, 0.000510879), (0.116179, 0.000382914),
    (0.603654, 0.00612325), (0.608916, 0.00155659), (0.894307, 0.0301097), (0.884304, 0.0252293), (1.56235, 0.0238079),
    (1.98785, 0.0102204), (0.679247, 0.00708272), (0.893892, 0.0182549),
]  # fmt: skip
