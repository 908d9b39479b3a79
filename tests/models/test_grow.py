"""A larger model of the same kind."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eke.models import catalogue
from eke.models.grow import grown

LARGE = [n for n in catalogue.names() if catalogue.architecture(n).parameters > 3e9]


@pytest.mark.parametrize("name", LARGE)
def test_all_and_active_weights_grow(name: str) -> None:
    """Every model of the catalogue grows by what is asked: all weights within 5%, active ones within 10%."""
    a = catalogue.architecture(name)
    for factor in (1.7, 2.89):
        b = grown(a, factor)
        assert b.parameters == pytest.approx(factor * a.parameters, rel=0.05)
        assert b.active_parameters == pytest.approx(factor * a.active_parameters, rel=0.10)


@given(factor=st.floats(0.3, 20.0))
@settings(max_examples=30, deadline=None)
def test_shape_stays_of_its_kind(factor: float) -> None:
    """Experts, KV heads and head widths stay; heads stay divisible, depth and width both follow."""
    a = catalogue.architecture("Hunyuan-Large")
    b = grown(a, factor)
    assert {x.feed_forward.experts for x in b.blocks} == {16}
    assert {x.attention.kv_heads for x in b.blocks} == {8}
    assert all(x.attention.heads % 8 == 0 and x.attention.head_dim == 80 for x in b.blocks)
    assert (b.layers >= a.layers) == (b.hidden >= a.hidden) or abs(factor - 1) < 0.2
    assert b.parameters == pytest.approx(factor * a.parameters, rel=0.05)


def test_growth_of_one_is_the_model_itself() -> None:
    """Nothing changes at 1."""
    a = catalogue.architecture("Qwen3-8B")
    assert grown(a, 1.0) is a


def test_the_next_deepseek() -> None:
    """From DeepSeek-V2's size to V3's: 2.84 times the weights give a model near V3's depth and width."""
    v2, v3 = (catalogue.architecture(n) for n in ("DeepSeek-V2", "DeepSeek-V3"))
    b = grown(v2, v3.parameters / v2.parameters)
    assert b.hidden == pytest.approx(v3.hidden, rel=0.1)
    assert b.layers > v2.layers
