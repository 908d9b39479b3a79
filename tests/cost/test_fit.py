from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.cost.conftest import BF16, FP8, INT4
from tests.strategies import accelerators, architectures

from eke.cost import CostModel, Layouts, fit
from eke.errors import InputError
from eke.fleet.chip import Chip
from eke.models.architecture import Architecture
from eke.models.variant import Variant


def _asked(architecture: Architecture, chip: Chip, **also: object) -> fit.Question:
    return replace(fit.Question(architecture, chip, "vllm", batch=1, context=1000), **also)  # type: ignore[arg-type]


@given(architectures(), accelerators(), st.sampled_from([BF16, FP8, INT4]), st.integers(1, 500), st.integers(1, 4096))
@settings(deadline=None, max_examples=60)
def test_limits_are_the_largest_that_hold(
    architecture: Architecture, chip: Chip, variant: Variant, batch: int, context: int
) -> None:
    """The largest batch fits and one more does not; likewise the longest context; parts add up to the whole."""
    asked = _asked(architecture, chip, batch=batch, context=context)
    model = CostModel(architecture, chip, variant, engine="vllm")
    for row in fit.rows(asked, variant, fit.layouts(asked)):
        here = Layouts.of(row.tp, row.pp, row.ep, row.dp)
        held = model.serving_memory(here, batch, context)
        assert row.total == pytest.approx(held.total[0])
        assert row.fits == bool(held.fits[0])
        if 0 < row.max_batch < 1e6:
            assert model.serving_memory(here, row.max_batch, context).total[0] <= row.limit * (1 + 1e-12)
            assert model.serving_memory(here, row.max_batch + 1, context).total[0] > row.limit * (1 - 1e-12)
        if row.max_context:
            assert model.serving_memory(here, batch, row.max_context).fits[0]
        if row.max_context < architecture.max_context:
            assert not model.serving_memory(here, batch, row.max_context + 1).fits[0]


def test_every_change_alone_makes_it_fit(llama_70b: Architecture, h100: Chip) -> None:
    """A 70B in bf16 on one chip: fewer bits or more chips, each of which then fits."""
    asked = _asked(llama_70b, h100)
    candidates = fit.rows(asked, BF16, fit.layouts(asked))
    row = candidates[0]
    assert (row.chips, row.fits) == (1, False)
    changes = fit.changes(row, [BF16, FP8, INT4], candidates, asked)
    assert [c.option for c in changes] == ["--variant fp8", "--variant int4", "--tp 2"]
    assert all(c.row.fits for c in changes)


def test_too_many_requests_are_answered_with_how_many_and_how_long(llama_8b: Architecture, h100: Chip) -> None:
    """Where the weights fit, the changes name the largest batch and the longest context."""
    asked = _asked(llama_8b, h100, batch=1000)
    candidates = fit.rows(asked, BF16, fit.layouts(asked))
    options = [c.option for c in fit.changes(candidates[0], [BF16], candidates, asked)]
    assert options[0] == f"--batch {candidates[0].max_batch}"
    assert options[1] == f"--context {candidates[0].max_context}"
    for _, number in (option.split(" ", 1) for option in options[:2]):
        assert int(number) > 0


def test_too_few_nodes_are_answered_with_how_many(llama_70b: Architecture) -> None:
    """Sixteen 16 GB chips hold what one node of eight does not."""
    small = Chip("small", "nobody", {"fp16": 65e12}, 16e9, 0.3e12)
    asked = _asked(llama_70b, small, nodes=1)
    candidates = fit.rows(asked, BF16, fit.layouts(asked))
    assert fit.smallest(candidates) is None
    (change,) = fit.changes(candidates[-1], [BF16], candidates, asked)
    assert change.option == "--tp 8 --pp 2 --nodes 2"
    assert fit.replicas(replace(asked, nodes=5), change.row.chips) == 2
    assert fit.replicas(replace(asked, nodes=5), 4) == 10
    assert fit.replicas(replace(asked, nodes=None), 4) is None


def test_what_others_leave_is_the_limit(llama_8b: Architecture, h100: Chip) -> None:
    """A chip that somebody else fills to 62 GB has no room for 16 GB of weights."""
    asked = _asked(llama_8b, h100, free=18e9)
    (row,) = fit.rows(asked, BF16, Layouts.of(1))
    assert row.limit == 18e9
    assert not row.fits
    assert fit.rows(replace(asked, free=None), BF16, Layouts.of(1))[0].fits


def test_layouts_take_parts_of_a_node_or_whole_ones(llama_70b: Architecture, h100: Chip) -> None:
    """On nodes of eight: 1, 2, 4, 8, 16, 24 … chips, heads uncut; and none where nothing can be placed."""
    table = fit.layouts(_asked(llama_70b, h100))
    assert all(8 % c == 0 or c % 8 == 0 for c in table.chips)
    assert (table.chips[1:] >= table.chips[:-1]).all()
    with pytest.raises(InputError, match="3 data ranks"):
        fit.layouts(_asked(llama_70b, h100, nodes=1), dp=3)
