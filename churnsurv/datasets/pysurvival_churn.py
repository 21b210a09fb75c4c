"""A subscription sample, shipped with the package: the churn example of PySurvival."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

    from churnsurv.tables.engines import Engine
    from churnsurv.tables.spells import SpellTable

VALUES = (
    "product_data_storage", "csat_score", "articles_viewed", "smartphone_notifications_viewed",
    "marketing_emails_clicked", "social_media_ads_viewed", "minutes_customer_support",
)  # fmt: skip
"""Numeric columns that are kept as covariates."""

LABELS = ("product_travel_expense", "product_payroll", "product_accounting", "company_size", "us_region")
"""Text columns that are kept as covariates."""


def pysurvival_churn_path() -> Path:
    """Path of the shipped Parquet file: every row, every column, nothing interpreted.

    Its licence and attribution lie beside it as ``pysurvival_churn.LICENSE.txt``.

    Examples
    --------
    >>> pysurvival_churn_path().name
    'pysurvival_churn.parquet'
    """
    return Path(__file__).parent / "data" / "pysurvival_churn.parquet"


def pysurvival_churn_customers() -> pa.Table:
    """Every customer as PySurvival published them.

    Returns
    -------
    pyarrow.Table
        2,000 rows: ``months_active`` (whole months since the subscription began), ``churned`` (1.0 or 0.0), and the
        columns of ``VALUES`` and ``LABELS``. There are no ids.

    Examples
    --------
    >>> pysurvival_churn_customers().num_rows
    2000
    """
    import pyarrow.parquet as pq

    return pq.read_table(pysurvival_churn_path())


def load_pysurvival_churn(*, engine: Engine | None = None) -> SpellTable:
    """Load 1,958 business customers of a software service as spells from their first month.

    Parameters
    ----------
    engine : Engine, optional
        Where to compute.

    Returns
    -------
    SpellTable
        932 of 1,958 spells end with ``churned``. The 42 customers of month 0, none of whom left, are left out and
        counted in ``.faults``. Customers are called by their row in the file.

    Notes
    -----
    The tutorial that comes with the data calls ``months_active`` the months since the subscription began, and does not say
    that anybody is missing who left earlier: the spells enter at 0. It says neither when the scores and counts
    were taken (whoever stays longer can view more articles) nor from which company they are. In months 6 and 10 every
    customer seen last in that month left, all 20 of them, which no business does: take them for made up.

    References
    ----------
    .. [1] Fotso, S. et al. (2019). *PySurvival: Open source package for survival analysis modeling*, tutorial
       "Predicting when your customers will churn". Apache-2.0.

    Examples
    --------
    >>> load_pysurvival_churn()
    SpellTable(1,958 spells of 1,958 customers: 932 churned, 1,026 open; 236,165 days at risk)
    """
    from churnsurv.tables.spells import SpellTable

    return SpellTable.from_durations(
        pysurvival_churn_customers(),
        duration="months_active",
        event="churned",
        unit="month",
        values=VALUES,
        labels=LABELS,
        on_bad="drop",
        engine=engine,
    )
