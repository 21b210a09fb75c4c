"""The whole way, from Python: its settings, and what becomes of warnings."""

import warnings

import pytest

from churnsurv.analysis import Analysis, default_horizons, noting
from churnsurv.errors import ApproximationWarning, ArgumentError, DataWarning, HorizonError
from churnsurv.tables.churn import Silence
from churnsurv.tables.window import ObservationWindow

WINDOW = ObservationWindow("2024-01-01", "2025-01-01")


def analysis(kinds=("order",), days=90, **settings):
    return Analysis(window=WINDOW, churn=Silence(kinds=kinds, days=days), **settings)


@pytest.mark.parametrize(
    ("days", "horizons"), [(90, (30.0, 60.0, 90.0)), (1, (1.0,)), (14, (5.0, 9.0, 14.0)), (45.5, (15.0, 30.0, 45.5))]
)
def test_default_horizons(days, horizons):
    assert default_horizons(days) == horizons
    assert analysis(days=days).horizons == horizons


def test_horizons_are_sorted_and_single():
    assert analysis(horizons=(60, 30, 60)).horizons == (30.0, 60.0)


def test_the_look_back_is_the_silence_unless_given():
    assert analysis().look_back == 90
    assert analysis(look_back=180).look_back == 180


@pytest.mark.parametrize("settings", [{"look_back": 0}, {"look_back": float("nan")}, {"draws": 0}])
def test_impossible_settings_are_refused(settings):
    with pytest.raises(ArgumentError):
        analysis(**settings)


def test_a_horizon_beyond_the_silence_is_refused():
    with pytest.raises(HorizonError):
        analysis(horizons=(91,))


def test_features_of_a_shop():
    names = [feature.name for feature in analysis(value="Revenue £", groups=("Country",)).features()]
    assert names == ["count_order_90d", "rhythm_order_90d", "revenue", "country"]


def test_with_several_kinds_values_are_read_within_the_look_back():
    features = {feature.name: feature for feature in analysis(kinds=("order", "login"), groups=("Country",)).features()}
    assert set(features) == {"count_order_90d", "rhythm_order_90d", "count_login_90d", "rhythm_login_90d", "country"}
    assert (features["country"].kind, features["country"].lookback) == ("order", 90)


def test_groups_are_random_effects_and_the_rest_a_formula():
    model = analysis(value="Revenue", groups=("Country", "City")).model()
    assert model.formula == "count_order_90d + rhythm_order_90d + revenue"
    assert model.groups == ("country", "city")


def test_warnings_about_the_data_become_notes_once():
    with noting() as notes:
        for _ in range(2):
            warnings.warn("odd rows", DataWarning, stacklevel=1)
        warnings.warn("too narrow", ApproximationWarning, stacklevel=1)
    assert notes == ["odd rows"]


def test_warnings_of_others_pass_through():
    def inside():
        with noting():
            warnings.warn("from elsewhere", UserWarning, stacklevel=1)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        inside()
    assert [str(one.message) for one in caught] == ["from elsewhere"]
