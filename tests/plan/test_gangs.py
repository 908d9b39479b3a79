"""Training gangs."""

from __future__ import annotations

from itertools import pairwise

import pytest

from eke.fleet import catalogue as chips
from eke.fleet.pool import Fleet, Link, Pool
from eke.models import catalogue as models
from eke.plan import gangs, layouts
from eke.plan.planner import groups
from eke.plan.recipes import sites
from eke.plan.scenario import Train

MODEL = models.architecture("Qwen3-8B")
JOB = Train("job", "Qwen3-8B", MODEL, 1e12, 4096, 4e6)


def pool(name: str, chip: str, nodes: int = 16) -> Pool:
    """A pool of like nodes."""
    return Pool(name, chips.chip(chip), nodes, scale_out=50e9)


def test_larger_gangs_are_faster_and_whole_nodes() -> None:
    """Every gang is faster than the one before it, and beyond one node it takes whole nodes."""
    ((site, _),) = sites([pool("a", "H800-SXM")])
    found = gangs.recipes(JOB, site)
    assert len(found) > 5
    assert all(a.units < b.units and a.rate < b.rate for a, b in pairwise(found))
    assert all(r.units % 8 == 0 or 8 % r.units == 0 for r in found)
    assert all(0.05 < r.mfu < 0.7 for r in found)


def test_the_batch_is_nearly_the_one_asked_for() -> None:
    """Data ranks have whole micro-batches, and together within 2% of the sequences asked for."""
    table, micro, count = gangs._rows(layouts.table([(1, 1, 1, d) for d in range(1, 200)]), 977, (1, 2))
    whole = table.dp * micro * count
    assert (abs(whole - 977) <= 0.02 * 977).all()
    assert len(whole) > 100


def test_recipes_say_how_a_step_is_shared_out() -> None:
    """Micro-batches and data ranks make whole steps of nearly the batch asked for, as trainers demand it."""
    ((site, _),) = sites([pool("a", "H800-SXM")])
    for r in gangs.recipes(JOB, site):
        assert r.accumulate >= 1
        assert r.accumulate * r.micro_batch * r.dp * 4096 == pytest.approx(4e6, rel=0.0201)


def test_a_part_trains_slower_than_a_gang_of_its_own() -> None:
    """In step with others, a pool's gang loses to the link and to fewer micro-batches."""
    ((site, _),) = sites([pool("a", "H800-SXM")])
    alone = {r.units: r.rate for r in gangs.recipes(JOB, site)}
    parts = {r.units: r.rate for r in gangs.parts(JOB, site, 0.0, 0.5, 12.5e9, joins=False)}
    both = alone.keys() & parts.keys()
    assert both
    assert all(parts[u] < alone[u] for u in both)


def test_pools_join_within_a_vendor_or_over_a_stated_link() -> None:
    """Nobody's libraries reduce gradients across vendors by themselves: that takes a link the scenario states."""
    pools = (pool("h", "H800-SXM"), pool("l", "L20"), pool("a", "Ascend-910B2"))
    names = ["h", "l", "a"]
    assert groups(Fleet(pools), names) == [("h", "l")]
    assert groups(Fleet(pools, (Link(("l", "a"), 1e9),)), names) == [("h", "l", "a")]
    assert groups(Fleet(pools), ["a"]) == []


def test_who_joins_others_pays_for_what_it_costs_them() -> None:
    """What a part adds is its own rate less what its failures and its being of another kind take from the rest; a part
    that would take more than it gives is not offered.
    """
    ((site, _),) = sites([pool("a", "H800-SXM")])
    own = {r.units: r.rate for r in gangs.parts(JOB, site, 0.0, 0.5, 12.5e9, joins=False)}
    rest = max(own.values())
    joined = {r.units: r.rate for r in gangs.parts(JOB, site, rest, 0.5, 12.5e9, joins=True)}
    for n, rate in joined.items():
        assert rate == pytest.approx(own[n] - rest * (gangs.JOINING + 1 - gangs.kept(n)))
    assert gangs.parts(JOB, site, 1000 * rest, 0.5, 12.5e9, joins=True) == []
