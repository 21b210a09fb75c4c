"""A real shop's log, shipped with the package: UCI Online Retail, 2010–2011."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

    from churnsurv.tables.events import EventLog

TIMEZONE = "Europe/London"
"""Zone of the shop, in which its invoice times are written."""


def online_retail_path() -> Path:
    """Path of the shipped Parquet file: every invoice line, every column, nothing interpreted.

    Its licence and attribution lie beside it as ``online_retail.LICENSE.txt``.

    Returns
    -------
    Path
        Columns ``InvoiceNo, StockCode, Description, Quantity, InvoiceDate, UnitPrice, CustomerID,
        Country``; times are London's, without an offset.

    Examples
    --------
    >>> online_retail_path().name
    'online_retail.parquet'
    """
    return Path(__file__).parent / "data" / "online_retail.parquet"


def load_online_retail(*, raw: bool = False) -> EventLog:
    r"""Load 541,909 invoice lines of a UK gift shop as an event log.

    One event per invoice line of a known customer, 1 December 2010 to 9 December 2011, London time.
    The window to study is ``ObservationWindow("2010-12-01", "2011-12-10")``.

    ============== ==================================================== ====== =========
    kind           lines                                                 lines customers
    ============== ==================================================== ====== =========
    order          something was bought: quantity and price above zero  397,884    4,338
    cancellation   invoice number starts with C: cancelled or returned    8,905    1,589
    adjustment     everything else: goods given free of charge               40       31
    ============== ==================================================== ====== =========

    Parameters
    ----------
    raw : bool, default False
        ``True`` interprets nothing: every line is of kind ``"activity"``, returns and free goods
        included, as in a report on the file without ``--kind``. It is there to show what that
        costs.

    Returns
    -------
    EventLog
        Value columns ``revenue`` (pounds, quantity times unit price, negative for cancellations)
        and ``quantity`` (pieces); label columns ``country``, ``invoice``, ``stock_code``.
        ``.faults`` counts the 135,080 lines without a customer, which are left out, and the lines
        that repeat another.

    Notes
    -----
    Free goods (price zero) are no order: nobody decided to come back and pay. One customer appears
    with nothing else, hence 4,338 and not 4,339 customers with an order. Stock written off, bad debt
    and samples are adjustments too, but carry no customer. Eight customers appear under two countries;
    the country is kept per line, so that a gap has the country of the order that opened it.

    References
    ----------
    .. [1] Chen, D., Sain, S. L. and Guo, K. (2012). Data mining for the online retail industry: A case
       study of RFM model-based customer segmentation using data mining. *Journal of Database Marketing
       & Customer Strategy Management* 19(3), 197–208. doi:10.1057/dbm.2012.17. CC0 as packaged in
       CRAN onlineretail 0.1.2 with the donor's permission.

    Examples
    --------
    >>> load_online_retail().kinds()
    {'order': 397884, 'cancellation': 8905, 'adjustment': 40}
    """
    from churnsurv.tables.events import EventLog

    return EventLog.from_frame(
        online_retail_lines(),
        customer="customer_id",
        time="time",
        kind=None if raw else "kind",
        values=("revenue", "quantity"),
        labels=("country", "invoice", "stock_code"),
        timezone=TIMEZONE,
        on_bad="drop",
    )


def online_retail_lines() -> pa.Table:
    """Every invoice line with its kind, also those without a customer.

    Returns
    -------
    pyarrow.Table
        541,909 rows: ``customer_id, time, kind, revenue, quantity, country, invoice, stock_code,
        description, unit_price``.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    lines = pq.read_table(online_retail_path())
    quantity, price = lines["Quantity"].cast(pa.float64()), lines["UnitPrice"]
    # Three decimals, because four lines cost a tenth of a penny; the product of doubles is off by a few ulp.
    revenue = pc.round(pc.multiply(quantity, price), 3)
    return pa.table(
        {
            "customer_id": lines["CustomerID"],
            "time": lines["InvoiceDate"],
            "kind": _kinds(lines),
            "revenue": revenue,
            "quantity": quantity,
            "country": lines["Country"],
            "invoice": lines["InvoiceNo"],
            "stock_code": lines["StockCode"],
            "description": lines["Description"],
            "unit_price": price,
        }
    )


def _kinds(lines: pa.Table) -> pa.ChunkedArray:
    import pyarrow.compute as pc

    cancelled = pc.starts_with(lines["InvoiceNo"], "C")
    bought = pc.and_(pc.greater(lines["Quantity"], 0), pc.greater(lines["UnitPrice"], 0))
    # Invoices that start with A adjust bad debt; the one among them with a positive price is no sale.
    sold = pc.and_(bought, pc.invert(pc.starts_with(lines["InvoiceNo"], "A")))
    return pc.case_when(pc.make_struct(cancelled, sold), "cancellation", "order", "adjustment")
