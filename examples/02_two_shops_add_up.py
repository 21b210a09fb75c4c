"""Cells add up: two shops are analysed together without either showing a customer to the other.

Run it as ``python examples/02_two_shops_add_up.py``.
"""

import churnsurv as cs

EDGES = {"count_order_90d": [0, 1, 2, 4, float("inf")]}


def cells_of(n_customers: int, seed: int) -> cs.CellTable:
    """What a shop would send: counts, no customer."""
    shop = cs.simulate_shop(n_customers, rng=seed)
    spells = cs.SpellTable.from_events(shop.log, shop.window, cs.Silence(kinds=("order",), days=90))
    periods = cs.PeriodTable.from_spells(spells, features=[cs.Count("order", days=90)])
    return cs.CellTable.from_periods(periods, bins=EDGES)


first, second = cells_of(2_000, seed=1), cells_of(3_000, seed=2)
both = first + second
print(first, second, both, sep="\n")
assert both.total_events() == tuple(a + b for a, b in zip(first.total_events(), second.total_events(), strict=True))
assert both.total_exposure_us() == first.total_exposure_us() + second.total_exposure_us()

fit = cs.HierarchicalModel("count_order_90d").fit(both, rng=1)
print(fit.summary().to_string())
