"""Cost models asked together answer as each does alone."""

from __future__ import annotations

import numpy as np

from eke.cost import CostModel, Layouts
from eke.cost.stack import Stack
from eke.fleet import catalogue as chips
from eke.models import catalogue as models
from eke.models.variant import variants


def test_together_as_alone() -> None:
    """Chips, precisions and engines differ; engines issue unlike many operations where prompts are read."""
    model = models.architecture("Qwen3-32B")
    kinds = variants(model)
    asked = [
        ("H100-SXM", "fp8", "vllm"),
        ("H100-SXM", "fp8", "trtllm"),
        ("H20-96", "bf16", "sglang"),
        ("L20", "fp8", "vllm"),
    ]
    alone = [CostModel(model, chips.chip(chip), kinds[variant], engine=engine) for chip, variant, engine in asked]
    n = len(alone)
    layouts = Layouts.of(np.full(n, 4), 1, 1, 1)
    fresh, held, context = 16.0, np.full((n, 1), 8.0), np.full(n, 1000.0)
    together = Stack(alone).seconds(np.arange(n), layouts, fresh, held, context, context)[:, 0]
    each = [m.seconds(Layouts.of(4), fresh, [8.0], 1000.0, 1000.0).item() for m in alone]
    assert np.allclose(together, each, rtol=1e-12)
