"""A feature is a declaration; the audit recomputes it on shorter logs and nothing may change.

Run it as ``python examples/03_features_know_no_future.py``.
"""

import churnsurv as cs

shop = cs.simulate_shop(1_000, rng=3)
spells = cs.SpellTable.from_events(shop.log, shop.window, cs.Silence(kinds=("order",), days=90))
features = [
    cs.Count("order", days=180),
    cs.Rhythm("order", days=180),
    cs.Mean("review", "rating", days=180),
    cs.Drop("review", "rating", recent=60, before=120),
    cs.Maximum("ticket", "wait_hours", days=180),
    cs.Recency("ticket", days=180),
]
audit = cs.leak_audit(spells, features).check()
print(audit.table.to_string())
