"""A contractual sample, shipped with the package: IBM's Telco customers, of whom some left within the last month."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

    from churnsurv.tables.engines import Engine
    from churnsurv.tables.spells import SpellTable

LABELS = (
    "gender", "SeniorCitizen", "Partner", "Dependents", "PhoneService", "MultipleLines", "InternetService",
    "OnlineSecurity", "OnlineBackup", "DeviceProtection", "TechSupport", "StreamingTV", "StreamingMovies", "Contract",
    "PaperlessBilling", "PaymentMethod",
)  # fmt: skip
"""Text columns that are kept as covariates."""


def telco_path() -> Path:
    """Path of the shipped Parquet file: every customer, every column, nothing interpreted.

    Its licence and attribution lie beside it as ``telco.LICENSE.txt``.

    Examples
    --------
    >>> telco_path().name
    'telco.parquet'
    """
    return Path(__file__).parent / "data" / "telco.parquet"


def telco_customers() -> pa.Table:
    """Every customer as IBM published them.

    Returns
    -------
    pyarrow.Table
        7,043 rows and the 21 columns of the original: ``customerID``, ``tenure`` (whole months), ``Churn`` (Yes or No),
        ``MonthlyCharges`` and ``TotalCharges`` (dollars; missing for the 11 customers of tenure 0), and those of
        ``LABELS``.

    Examples
    --------
    >>> telco_customers().num_rows
    7043
    """
    import pyarrow.parquet as pq

    return pq.read_table(telco_path())


def load_telco(*, follow_up: float | None = 1.0, engine: Engine | None = None) -> SpellTable:
    """Load 7,032 telephone customers as spells that enter one month before they were last seen.

    The table shows who was a customer in one month and whether they left in it ("customers who left within the last
    month"). Whoever left earlier is not in it: a prevalent sample. So each customer was at risk, as far as these data
    know, from tenure − 1 month to tenure. What becomes of survival curves that ignore this, and what these data
    cannot tell at all, is in the explanation of the data.

    Parameters
    ----------
    follow_up : float or None
        Months that were watched. ``None`` enters everybody at tenure 0, as the usual analysis does: it takes the
        customers who left earlier for customers who never were.
    engine : Engine, optional
        Where to compute.

    Returns
    -------
    SpellTable
        1,869 of 7,032 spells end with ``churned``. Covariates: ``MonthlyCharges`` and the sixteen text columns of
        ``LABELS`` (``SeniorCitizen`` is ``"0"`` or ``"1"``). The 11 customers of tenure 0 are left out and counted in
        ``.faults``: they have had no time at risk.

    Notes
    -----
    ``TotalCharges`` is no covariate here: it is the sum of the monthly charges so far (its correlation with tenure times
    ``MonthlyCharges`` is 0.9996), so that whoever stays has more of it. All other columns are as of the end of the month,
    and for those who left perhaps as of the day they did: an effect of the contract may partly be one on the contract.

    References
    ----------
    .. [1] IBM, *Telco customer churn*, IBM sample data sets; Apache-2.0 as packaged in
       github.com/IBM/telco-customer-churn-on-icp4d.

    Examples
    --------
    >>> load_telco()
    SpellTable(7,032 spells of 7,032 customers: 1,869 churned, 5,163 open; 214,036 days at risk)
    """
    from churnsurv.tables.spells import SpellTable

    return SpellTable.from_durations(
        telco_customers(),
        duration="tenure",
        event="Churn",
        churned={"Yes": 1, "No": 0},
        unit="month",
        customer="customerID",
        follow_up=follow_up,
        values=("MonthlyCharges",),
        labels=LABELS,
        on_bad="drop",
        engine=engine,
    )
