"""A report: one page to decide by, then the detail, as one file that opens offline and prints. Knows no console.

plan → facts → words, pictures → page
"""

from eke.report.facts import Facts, check, gather
from eke.report.page import html
from eke.report.pictures import write_all

__all__ = ["Facts", "check", "gather", "html", "write_all"]
