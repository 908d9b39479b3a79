"""The embedded engine's own rates: told apart by two passes, and used instead of the guesses."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.cost.conftest import INT4

from eke.cost import CostModel, Layouts
from eke.cost.calibrate import _engine
from eke.cost.profile import find, of_weights
from eke.figures import Figure
from eke.fleet.chip import Chip
from eke.models.architecture import Architecture


def _measured(chip: Chip, products: float, weights: float) -> Chip:
    figures = {"flops.fp32": chip.flops["fp32"], "llamacpp.products": products, "llamacpp.weights": weights}
    return replace(chip, figures={name: Figure(value, "here", "measured") for name, value in figures.items()})


@given(st.floats(1e9, 1e12), st.floats(1e9, 1e11), st.floats(1e8, 1e10), st.floats(1e7, 1e9))
def test_two_passes_tell_two_rates(products: float, weights: float, blocks: float, head: float) -> None:
    """Seconds made from two rates give those rates back, unless fetching weights is lost beside the products."""
    m = _engine.READ
    read = (blocks + head) / weights + 2 * (blocks * m + head) / products
    write = (blocks + head) / weights + 2 * (blocks + head) / products
    found = _engine.rates(read, write, blocks, head)
    assert found[0] == pytest.approx(products, rel=1e-6)
    if (blocks + head) / weights > 0.06 * write:
        assert found[1] == pytest.approx(weights, rel=1e-6)


def test_measured_rates_replace_the_guess(xeon: Chip, llama_8b: Architecture) -> None:
    """Prompts follow the products, a lone token the weights; the basis says measured; cores share alike."""
    assert find(xeon, "llamacpp").basis == "modelled"
    slow = _measured(xeon, 50e9, 20e9).core()
    assert find(slow, "llamacpp").basis == "measured"
    model = CostModel(llama_8b, slow, INT4, engine="llamacpp")
    both = Layouts.of(2)
    n = float(llama_8b.active_parameters)
    assert model.decode(both, 1, 1).seconds[0] == pytest.approx(n / 20e9 + 2 * n / 50e9, rel=0.05)
    per_token = model.prefill(both, 400).seconds[0] - model.prefill(both, 200).seconds[0]
    blocks = n - llama_8b.head_parameters
    assert per_token / 200 == pytest.approx(2 * blocks / 50e9, rel=0.05)
    quick = CostModel(llama_8b, _measured(xeon, 100e9, 40e9).core(), INT4, engine="llamacpp")
    assert quick.decode(both, 1, 1).seconds[0] == pytest.approx(model.decode(both, 1, 1).seconds[0] / 2, rel=0.05)


def test_types_of_weights_change_products_and_not_fetching(xeon: Chip) -> None:
    """Twice as fast products leave what weights cost beside them as it is; matrix units know no types."""
    profile = find(_measured(xeon, 50e9, 20e9), "llamacpp")
    faster = of_weights(profile, 2.0)
    assert faster.gemm["fp32"] == 2 * profile.gemm["fp32"]
    assert faster.pad_m / faster.gemm["fp32"] == pytest.approx(profile.pad_m / profile.gemm["fp32"])
    other = find(xeon, "torch")
    assert of_weights(other, 2.0) is other
