"""One shop whose causes are known, learnt once."""

from __future__ import annotations

import pytest

from churnsurv.causes.fit import CauseFit
from churnsurv.datasets.shop_simulation import ShopSimulation
from churnsurv.tables.spells import SpellTable
from tests.causes.known_shop import BREAKS, known_shop, network, spells_of


@pytest.fixture(scope="session")
def shop() -> ShopSimulation:
    return known_shop(4000, rng=7)


@pytest.fixture(scope="session")
def spells(shop: ShopSimulation) -> SpellTable:
    return spells_of(shop)


@pytest.fixture(scope="session")
def fit(spells: SpellTable) -> CauseFit:
    return network().fit(spells, breaks=BREAKS, n_draws=400)
