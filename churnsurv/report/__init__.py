"""One self-contained file that a manager reads and a statistician believes."""

from churnsurv.report.html import report
from churnsurv.report.sections import report_data

__all__ = ["report", "report_data"]
