"""A small GPT over bytes."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from eke.training import model as models
from eke.training.model import GPT
from eke.training.shape import Shape


def _model(shape: Shape, seed: int = 1) -> GPT:
    net = GPT(shape)
    net.initialise(seed)
    return net


@pytest.mark.parametrize("tied", [True, False])
def test_the_shape_counts_every_parameter(shape: Shape, tied: bool) -> None:
    """What the shape says is what torch holds."""
    shape = replace(shape, tie_word_embeddings=tied)
    assert sum(w.numel() for w in GPT(shape).parameters()) == shape.parameters


def test_the_future_is_hidden(shape: Shape) -> None:
    """Changing a byte changes nothing before it, and something from it on."""
    net = _model(shape)
    for weight in net.parameters():
        torch.nn.init.normal_(weight, generator=torch.Generator().manual_seed(weight.numel()))
    tokens = torch.arange(20)[None]
    changed = tokens.clone()
    changed[0, 12] = 200
    before, after = net(tokens), net(changed)
    assert torch.equal(before[:, :12], after[:, :12])
    assert (before[:, 12:] != after[:, 12:]).any(dim=-1).all()


def test_rotary_positions_are_relative() -> None:
    """The product of a turned query and a turned key depends on their distance alone."""
    cos, sin = models.rotary(64, 16, 10_000.0)
    q, k = torch.randn(2, 16, generator=torch.Generator().manual_seed(1))

    def product(i: int, j: int) -> float:
        return float(models.turn(q, cos[i], sin[i]) @ models.turn(k, cos[j], sin[j]))

    assert product(5, 2) == pytest.approx(product(40, 37), rel=1e-4)
    assert product(5, 2) != pytest.approx(product(5, 3), rel=1e-4)


def test_the_same_seed_is_the_same_model(shape: Shape) -> None:
    """Fresh weights depend on the seed and nothing else."""
    torch.manual_seed(0)
    one, same, other = (_model(shape, seed).embedding.weight for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_a_fresh_model_knows_nothing(shape: Shape) -> None:
    """Its loss is near ln 256, that of guessing evenly."""
    tokens = torch.randint(256, (8, 33), generator=torch.Generator().manual_seed(1))
    assert models.loss(_model(shape), tokens).item() == pytest.approx(math.log(256), rel=0.05)
