"""The report as one HTML file: no script, no font, no picture from elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from eke import __version__
from eke.plan import show, show_savings, show_why, show_worth
from eke.plan.runway import tell
from eke.report import pictures, words
from eke.report.facts import Facts
from eke.report.sources import figures

POOLS, RISKS = 6, 7
"""Pools and risks that the first page has room for; the others stand in the detail."""
OFFERS = 12

Rows = Sequence[Mapping[str, Any]]


def html(facts: Facts) -> str:
    """The whole report."""
    environment = Environment(
        loader=PackageLoader("eke.report"), autoescape=select_autoescape(default=True), undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters["words"] = lambda key: str(key).replace("_", " ")
    style = files("eke.report").joinpath("style.css").read_text(encoding="utf-8")
    return environment.get_template("report.html").render(
        facts=facts, plan=facts.plan, words=words, show=show, show_why=show_why, show_savings=show_savings,
        show_worth=show_worth, tell=tell,
        charts=pictures.inline(facts), night=pictures.night(),
        style=Markup(style), pools=words.pools(facts), most_pools=POOLS, risks=words.risks(facts), most_risks=RISKS,
        sections=sections(facts), sources=figures(facts), version=__version__,
    )  # fmt: skip


def sections(facts: Facts) -> dict[str, Rows]:
    """The tables of the detail, by what they are called in the template; empty ones have no rows."""
    why, saved, worth, ahead = facts.why, facts.savings, facts.worth, facts.runway
    return {
        "use": show.pools(facts.plan),
        "promises": show.promises(facts.plan),
        "recipes": show.placements(facts.plan),
        "known": words.certainty(facts),
        "advantage": show_why.advantages(why) if why else [],
        "options": show_why.options(why) if why else [],
        "rules": show_why.ruled(why) if why else [],
        "binds": show_why.binds(why) if why else [],
        "waterfall": show_savings.waterfall(saved) if saved else [],
        "savings": show_savings.replacing(saved) if saved else [],
        "generations": tell.generations(ahead) if ahead else [],
        "suffices": tell.suffices(ahead) if ahead else [],
        "failures": tell.failures(ahead) if ahead else [],
        "keep": show_worth.keeping(worth) if worth else [],
        "buy": show_worth.buying(worth, OFFERS) if worth else [],
    }  # fmt: skip
