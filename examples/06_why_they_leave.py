"""Why customers leave, and what would change it: a drawing of causes, judged by a shop whose truth is known.

Run it as ``python examples/06_why_they_leave.py [folder]``; the folder gets the picture.
"""

import sys
from pathlib import Path

import numpy as np

import churnsurv as cs
from churnsurv.causes.confounding import e_value_of_draws
from churnsurv.causes.effects import improvements
from churnsurv.causes.falsify import falsify
from churnsurv.causes.refutations import refute_effect
from churnsurv.datasets import Experience, HiddenCause, ReturnEffects
from churnsurv.datasets.shop_simulation import ShopSimulation
from churnsurv.errors import IdentificationError
from churnsurv.plots import plot_causes

folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
COUNTRIES = {"near": 0.3, "far": -0.3}

# A shop in which parcels to far countries come late, a late parcel brings a ticket and a longer wait, both spoil the
# rating, and all of them keep customers from coming back. Nobody returns before all that is over.
settings = {
    "start": "2023-01-01", "end": "2024-01-01", "history_days": 300.0, "future_days": 0.0, "frailty_variance": 0.0,
    "season_amplitude": 0.0,
    "closure_hazard": 0.0, "breaks": (0, 10, 30, 60), "hazards": (0.0, 0.02, 0.012, 0.006), "countries": COUNTRIES,
    "experience": Experience(late=0.3, late_country={"near": -0.6, "far": 0.8}, late_season=0.0, ticket=0.3,
                          ticket_when_late=0.7, longest_days=9.9),
    "effects": ReturnEffects(category={"gifts": 0.0}, high_value=0.0, previous_late=-0.25, previous_wait=(0.1, -0.3, -0.8)),
}  # fmt: skip
WAITS = ["over 24 h", "4 to 24 h", "under 4 h"]
nodes = [
    cs.Node("country", cs.Value("order", "country")),
    cs.Node("late", cs.Value("order", "previous_delivery"), missing="none yet"),
    cs.Node("wait", cs.Value("order", "previous_wait"), levels={state: [state] for state in [*WAITS, "no ticket"]}),
    cs.Node("rating", cs.Value("order", "previous_rating"), missing="none yet"),
]
arrows = [
    "country -> late -> wait -> rating -> churn",
    "late -> rating",
    "country -> churn",
    "late -> churn",
    "wait -> churn",
]


def spells_of(shop: ShopSimulation) -> cs.SpellTable:
    """Gaps between orders; churned after 60 days of silence."""
    return cs.SpellTable.from_events(shop.log, shop.window, cs.Silence(kinds=("order",), days=60, merge=None))


shop = cs.simulate_shop(6000, rng=1, **settings)
fit = cs.CauseNetwork(nodes, arrows).fit(spells_of(shop), breaks=[0, 10, 30, 60, 120])
print(fit)

print("\n1. Who waited long falls silent. That is what the log says, and no effect:")
for state in fit.states["wait"]:
    answer = fit.query("churn", {"wait": state}, horizon=60)
    print(f"   wait {state:<10} {answer.mean()[1]:.0%} silent for 60 days")

print("\n2. What if support had answered within four hours? Late parcels would still be late:")
short = {"over 24 h": "under 4 h", "4 to 24 h": "under 4 h"}
effect = fit.effect("wait", short, by="country")
print(f"   {effect.sentence()}")
told = effect.frame()
print(told[told["measure"] == "avoided_per_thousand"].drop(columns="measure").round(2).to_string(index=False))

print("\n3. Is the drawing contradicted, and does the effect survive attacks?")
print(f"   {falsify(fit).sentence()}")
for attempt in refute_effect(fit, effect, n_repeats=3).attempts:
    print(f"   {attempt.sentence()}")
print(f"   {e_value_of_draws(effect.draws('risk_ratio')[:, 0])}")

print("\n4. Asking among those who rated badly would take part of the effect away:")
try:
    fit.do({"wait": "under 4 h"}).churn(60, given={"rating": "1"})
except IdentificationError as refusal:
    print("   " + str(refusal).replace("\n", "\n   "))

print("\n5. The same shop with a trait that nobody sees: worse parcels, longer waits, and less wish to return:")
hidden = cs.simulate_shop(20_000, rng=2, hidden=HiddenCause(share=0.4, late=1.5, wait=1.0, effect=-1.0), **settings)
naive = cs.CauseNetwork(nodes, arrows).fit(spells_of(hidden), breaks=[0, 10, 30, 60, 120]).effect("wait", short)
print(f"   drawn without it: {naive.sentence()}")
drawn = cs.CauseNetwork(nodes, [*arrows, "trait -> late", "trait -> wait", "trait -> churn"], latent=["trait"])
honest = drawn.fit(spells_of(hidden), breaks=[0, 10, 30, 60, 120])
print(f"   drawn with it:    {honest.effect('wait', short).sentence()}")

print("\n6. One customer after the other: what of the risk is due to what")
print(fit.explain(spells_of(shop)).top().head(4).round(2).to_string(index=False))
kept = fit.counterfactual(spells_of(shop), {"wait": short}).kept()
print(
    f"   Of those at risk today, short waits would have kept {np.quantile(kept, 0.05):.0f} to {np.quantile(kept, 0.95):.0f}."
)

plot_causes(fit.network, improvements(fit, keep={"wait": ["no ticket"]})).save(folder / "causes.svg")
print(f"\npicture: {folder / 'causes.svg'}")
