from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eke.cost import profile
from eke.cost.collectives import Group
from eke.cost.forward import touched, visible
from eke.cost.machine import machine
from eke.fleet import catalogue


@given(st.integers(0, 40), st.integers(0, 40), st.one_of(st.none(), st.integers(1, 60)))
def test_visible_pairs_are_counted_exactly(fresh: int, past: int, window: int | None) -> None:
    """The closed form equals the sum over queries of the keys each sees."""
    counted = sum(min(past + i, window or 10**9) for i in range(1, fresh + 1))
    assert visible(np.array([float(fresh)]), np.array([float(past)]), window)[0] == pytest.approx(counted)


@given(st.integers(1, 256), st.data())
def test_touched_experts_lie_between_one_choice_and_all(experts: int, data: st.DataObject) -> None:
    """One token touches exactly its choices; more tokens touch more; never more than there are."""
    chosen = data.draw(st.integers(1, experts))
    distinct = touched(np.array([0.0, 1.0, 2.0, 1e6]), experts, chosen)
    assert distinct[0] == 0
    assert distinct[1] == pytest.approx(chosen)
    assert (np.diff(distinct) >= -1e-9).all()
    assert distinct[3] == pytest.approx(experts)


def test_touched_experts_match_a_draw() -> None:
    """The expectation agrees with simulated uniform routing of 64 tokens, 8 of 128."""
    rng = np.random.default_rng(1)
    drawn = [len(np.unique(np.concatenate([rng.choice(128, 8, replace=False) for _ in range(64)]))) for _ in range(200)]
    assert touched(np.array([64.0]), 128, 8)[0] == pytest.approx(np.mean(drawn), rel=0.01)


def test_an_exchange_between_nodes_takes_what_leaves_over_the_slow_link() -> None:
    """Half of the bytes across, half of the time; alone in a domain nothing crosses."""
    chip = catalogue.chip("H100-SXM")
    on = machine(chip, chips_per_node=8, scale_out=None, profile=profile.find(chip, "vllm", own=None))
    two = Group(on, np.array([16]))
    assert two.all_to_all(1e9, 5e8)[0] == pytest.approx(two.all_to_all(1e9)[0])  # half of an even spread leaves
    assert two.all_to_all(1e9, 2.5e8)[0] == pytest.approx(2.5e8 / on.out)
    one = Group(on, np.array([8]))
    assert one.all_to_all(1e9, 5e8)[0] == pytest.approx(1e9 * 7 / 8 / on.up)
