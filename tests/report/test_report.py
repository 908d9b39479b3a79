"""The report says what the plan says, in one file that loads nothing."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from tests.plan.scenarios import SMALL, TOO_MUCH

from eke.errors import InputError, UnknownName
from eke.plan import Plan, make, parse
from eke.plan.interval import told
from eke.plan.known import known
from eke.plan.runway import make as runway
from eke.plan.show import amount
from eke.report import Facts, check, gather, html, words, write_all

pytest.importorskip("altair", reason="the extra `charts` is not installed")

GROWING = (
    SMALL
    + """
generations: {first: next, compute_growth: 3.0, model_growth: 1.5, serving_growth: 3%/mo, horizon: 12 mo}
"""
)
PARTS = ("worth", "runway", "levers")
LOADS = {"src", "href", "srcset", "data", "action", "poster", "xlink:href"}


class Loads(HTMLParser):
    """Collects tags, ids, and what a page would load."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.ids: list[str] = []
        self.loads: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            if name in LOADS and not (value or "").startswith("#"):
                self.loads.append(f"{tag} {name}={value}")


@pytest.fixture(scope="module")
def plan() -> Plan:
    return make(parse(GROWING))


@pytest.fixture(scope="module")
def facts(plan: Plan) -> Facts:
    found = gather(plan, without=PARTS)
    return replace(found, runway=runway(parse(GROWING), samples=40))


@pytest.fixture(scope="module")
def page(facts: Facts) -> str:
    return html(facts)


def test_nothing_is_loaded(page: str) -> None:
    """No script, no link, no url() and no address to load from; ids are said once."""
    seen = Loads()
    seen.feed(page)
    assert seen.loads == []
    assert not seen.tags & {"script", "link", "img", "iframe", "object", "embed"}
    assert not re.search(r"@import|url\((?!#)", page)
    assert len(seen.ids) == len(set(seen.ids))


def test_every_section_and_what_is_left_out(page: str) -> None:
    """One page to decide by, then the detail; what was not asked for is named."""
    ids = set(re.findall(r'<(?:section|figure)[^>]* id="([^"]+)"', page))
    assert {"decision", "day", "prices", "savings", "runway", "pools", "promises", "recipes", "why", "software",
            "ahead", "stock", "known", "assumptions", "sources"} <= ids  # fmt: skip
    assert "chips" not in ids
    assert "What chips are worth is left out: it was not asked for." in page


def test_the_numbers_are_the_plans(page: str, facts: Facts) -> None:
    """Objective, bound, gap, days, chips and prices stand in the page as the plan has them."""
    plan, o = facts.plan, facts.plan.objective
    assert o.value is not None
    assert o.bound is not None
    for value in (o.value, o.bound):
        assert amount(value, o.unit).removesuffix(" of training") in page
    assert f"gap {o.gap:.2%}" in page
    job = next(w for w in plan.workloads if w.kind == "train")
    assert f"day {words.day(job.days)} of 90" in page
    for p in plan.pools:
        assert f"{p.chips:,.0f} {p.chip}" in page
        assert f"{p.price:.3g}" in page
    saved = facts.savings
    assert saved is not None
    assert saved.bare is not None
    assert f"{told(saved.bare, saved.interval['bare'])} chips of this mix" in page
    assert facts.runway is not None
    assert facts.runway.first_to_run_out in page.replace("&#39;", "'")


def test_each_pool_is_told_as_it_is_used(facts: Facts) -> None:
    """Least and most chips of the day of each workload are the placements' own."""
    told = {name: does for name, _, does in words.pools(facts)}
    for pool in facts.plan.pools:
        for w in facts.plan.workloads:
            used = [0.0] * facts.plan.slots
            for p in facts.plan.placements:
                if (p.pool, p.workload) == (pool.name, w.name):
                    used[p.slot] += p.chips
            if max(used):
                (part,) = [s for s in re.split(r"; ", told[pool.name]) if re.search(rf" {w.name}\.?$", s)]
                assert f"{max(used):,.4g}" in part
            else:
                assert w.name not in told[pool.name]


def test_when() -> None:
    """Hours of the day, around midnight too."""
    assert words.when([1, 9, 9, 1], 9) == "06–18 h"
    assert words.when([9, 1, 1, 9], 9) == "18–06 h"
    assert words.when([1, 1, 1, 9], 9) == "18–24 h"
    assert words.through([4.0, 4.0], 8) == "4"
    assert words.through([0.0, 4.0], 8) == "up to 4 (12–24 h)"


def test_speeds_carry_basis_and_interval(facts: Facts) -> None:
    """Each pool's interval is the cost model's; the slow end is slower than the prediction, the fast end faster."""
    for k in known(facts.scenario).values():
        assert k.basis in ("measured", "modelled", "guessed")
        assert k.interval[0] < 1 < k.interval[1]
        assert k.faster > 1
    assert all("%" in row["serving"] and "%" in row["training"] for row in words.certainty(facts))


def test_two_dates_of_a_job_say_why(facts: Facts) -> None:
    """The plan's day and the runway's stand on one page: the caption tells on which speeds each stands."""
    said = words.ahead(facts)
    days = next(k.days for k in facts.plan.workloads if k.kind == "train")
    assert f"Dates stand on the middle of speeds; the plan's, day {words.day(days or 0.0)}, on their slow end" in said
    assert said.startswith("80% of ends")
    assert "modelled" in said


def test_names_are_text(plan: Plan) -> None:
    """A name with markup in it stays text."""
    page = html(gather(replace(plan, scenario="<b>small</b>"), without=("explain", "savings", *PARTS)))
    assert "<b>small</b>" not in page
    assert "&lt;b&gt;small" in page


def test_a_stock_that_cannot_do_it(tmp_path: Path) -> None:
    """Promises that break are told with what would repair them; what has no answer is left out with the reason."""
    facts = gather(make(parse(TOO_MUCH), best_effort=True), without=("worth",))
    page = html(facts)
    assert "Not every promise can be kept" in page
    assert any(r in page for c in facts.plan.infeasible_because for r in c.repairs)
    assert all(change in page for changes in facts.plan.together for change in changes)
    assert "What software saves is left out: not all promises can be kept" in page
    assert write_all(facts, tmp_path / "pictures")


def test_pictures(facts: Facts, tmp_path: Path) -> None:
    """Every chart of the page is a PNG too."""
    drawn = {p.stem for p in write_all(facts, tmp_path)}
    assert drawn == {"day", "prices", "savings", "runway", "stock", "advantage"}
    assert all((tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG") for name in drawn)


def test_bad_input(plan: Plan) -> None:
    """A part nobody knows, and a plan that does not say what it was made from: one clear error each."""
    with pytest.raises(UnknownName, match="no part of a report"):
        check(("wroth",))
    with pytest.raises(InputError, match="made from"):
        gather(replace(plan, source=""))
