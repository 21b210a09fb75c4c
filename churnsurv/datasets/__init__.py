"""Small real data with their licences, and simulators whose truth is known."""

from churnsurv.datasets.effects import ReturnEffects, ShopTruth
from churnsurv.datasets.experience import Experience, HiddenCause
from churnsurv.datasets.online_retail import load_online_retail, online_retail_path
from churnsurv.datasets.pysurvival_churn import load_pysurvival_churn, pysurvival_churn_customers, pysurvival_churn_path
from churnsurv.datasets.retention import load_retention, retention_path, retention_spells
from churnsurv.datasets.shop import simulate_shop
from churnsurv.datasets.shop_simulation import ShopSimulation
from churnsurv.datasets.subscription import simulate_subscription
from churnsurv.datasets.subscription_simulation import SubscriptionSimulation, SubscriptionTruth
from churnsurv.datasets.telco import load_telco, telco_customers, telco_path

__all__ = [
    "Experience",
    "HiddenCause",
    "ReturnEffects",
    "ShopSimulation",
    "ShopTruth",
    "SubscriptionSimulation",
    "SubscriptionTruth",
    "load_online_retail",
    "load_pysurvival_churn",
    "load_retention",
    "load_telco",
    "online_retail_path",
    "pysurvival_churn_customers",
    "pysurvival_churn_path",
    "retention_path",
    "retention_spells",
    "simulate_shop",
    "simulate_subscription",
    "telco_customers",
    "telco_path",
]
