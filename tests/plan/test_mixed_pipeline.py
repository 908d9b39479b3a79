"""One model over unlike nodes: placements are whole, and nothing passes the bound."""

from __future__ import annotations

from itertools import combinations_with_replacement, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eke.errors import InputError
from eke.fleet import catalogue as chips
from eke.fleet.pool import Fleet, Pool
from eke.models import catalogue as models
from eke.models.variant import variants
from eke.plan.distribution import Distribution
from eke.plan.mixed_pipeline import Members, Pipeline, bound, members, place

LAYERS = 4
CUTS = list(product((True, False), repeat=LAYERS - 1))


@st.composite
def kinds(draw: st.DrawFn) -> tuple[Members, ...]:
    """One to three kinds, at most four members, that pass less the more layers they hold."""
    found = []
    for name in ("a", "b", "c")[: draw(st.integers(1, 3))]:
        passes = sorted(draw(st.lists(st.integers(1, 60), min_size=1, max_size=LAYERS)), reverse=True)
        found.append(Members(name, draw(st.integers(1, 2)), tuple(map(float, passes))))
    return tuple(found)


def _cuts(first: int, last: int, rate: float) -> list[float]:
    """What a run of layers adds to each cut between the boundaries of layers: its rate where it crosses the cut."""
    before = [{0, *(i for i, inside in enumerate(chosen, 1) if inside)} for chosen in CUTS]
    return [rate if first in cut and last not in cut else 0.0 for cut in before]


def _best(of: tuple[Members, ...]) -> float:
    """The most any placement passes: every member holds any run of layers, and what one holds may overlap another's.

    What passes is the least cut between layer 0 and the last; of all placements the largest of those.
    """
    total = np.zeros((1, len(CUTS)))
    for m in of:
        runs = [_cuts(f, f + k, m.rate(k)) for k in range(1, len(m.passes) + 1) for f in range(LAYERS - k + 1)]
        each = np.array([np.sum(some, axis=0) for some in combinations_with_replacement(runs, m.count)])
        total = (total[:, None, :] + each[None, :, :]).reshape(-1, len(CUTS))
    return float(total.min(axis=1).max())


def _check(of: tuple[Members, ...], layers: int, found: Pipeline) -> None:
    """Every layer once, in order; no member twice; rates are sums over members, and the least of them counts."""
    at = 0
    for stage in found.stages:
        assert stage.first == at
        assert stage.rate == pytest.approx(sum(m.rate(stage.layers) * stage.members.get(m.name, 0) for m in of))
        at += stage.layers
    assert at == layers
    assert all(sum(s.members.get(m.name, 0) for s in found.stages) <= m.count for m in of)
    assert found.rate == pytest.approx(min(s.rate for s in found.stages))
    assert 0 < found.rate <= found.bound


@settings(max_examples=40, deadline=None)
@given(kinds())
def test_nothing_passes_the_bound(of: tuple[Members, ...]) -> None:
    """Exhaustive search over all placements, overlapping ones too, stays below the bound; the plan below both."""
    if sum(m.count * len(m.passes) for m in of) < LAYERS:
        with pytest.raises(InputError, match="hold"):
            place(of, LAYERS)
        return
    found = place(of, LAYERS)
    _check(of, LAYERS, found)
    best = _best(of)
    assert found.rate <= best * (1 + 1e-6)
    assert best <= bound(of, LAYERS) * (1 + 1e-6)


def test_like_members_share_the_layers_evenly() -> None:
    """Four like members of a model of eight layers hold two each: the bound is reached."""
    found = place((Members("a", 4, (8.0, 4.0, 2.0)),), 8)
    assert [s.layers for s in found.stages] == [2, 2, 2, 2]
    assert found.gap == pytest.approx(0.0, abs=1e-6)


def test_what_is_left_over_helps_the_slowest() -> None:
    """A member too many stands beside another."""
    found = place((Members("a", 3, (10.0,)),), 2)
    assert sorted(s.members["a"] for s in found.stages) == [1, 2]


def test_a_model_no_pool_holds_runs_over_two() -> None:
    """A fleet's own chips, priced by the cost model: neither pool holds the 70B model, both together do."""
    fleet = Fleet((Pool("t4", chips.chip("T4"), 2, 4), Pool("l4", chips.chip("L4"), 2, 2)))
    model = models.architecture("Llama-2-70B")
    of = members(fleet, model, variants(model)["fp16"], Distribution((500.0, 1000.0)), Distribution((200.0,)))
    assert {m.name for m in of} == {"t4", "l4"}
    assert all(list(m.passes) == sorted(m.passes, reverse=True) for m in of)
    found = place(of, model.layers)
    _check(of, model.layers, found)
    for lone in of:
        with pytest.raises(InputError, match="of 80 layers"):
            place((lone,), model.layers)
