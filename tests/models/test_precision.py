"""What a model was published in is read from its quantisation, not from its name."""

from __future__ import annotations

from typing import Any

import pytest

from eke.models.config.precision import native


def _groups(bits: int, kind: str) -> dict[str, Any]:
    return {"config_groups": {"group_0": {"weights": {"num_bits": bits, "type": kind}, "targets": ["Linear"]}}}


@pytest.mark.parametrize(
    ("config", "precision"),
    [
        ({}, "bf16"),
        ({"torch_dtype": "float16"}, "fp16"),
        ({"dtype": "torch.bfloat16"}, "bf16"),
        ({"quantization_config": {"quant_method": "fp8"}}, "fp8"),
        ({"quantization_config": {"quant_method": "mxfp4"}}, "fp4"),
        ({"quantization_config": {"quant_algo": "NVFP4", "quant_method": "modelopt"}}, "fp4"),
        ({"quantization_config": {"quant_method": "compressed-tensors"} | _groups(4, "int")}, "int4"),
        ({"quantization_config": {"quant_method": "compressed-tensors"} | _groups(8, "float")}, "fp8"),
        ({"quantization_config": {"quant_method": "modelopt"} | _groups(4, "float")}, "fp4"),
        ({"quantization_config": {"quant_method": "awq", "bits": 4}}, "int4"),
        ({"quantization_config": {"quant_method": "gptq", "bits": 8}}, "int8"),
        ({"quantization_config": {"quant_method": "fp8"}, "expert_dtype": "fp4"}, "fp4"),
    ],
)
def test_native_precision(config: dict[str, Any], precision: str) -> None:
    """Each way of saying it that published configs use."""
    assert native(config) == precision


def test_mixed_precision_is_what_most_layers_are() -> None:
    """ModelOpt lists the precision of each layer."""
    layers = {f"layers.{i}": {"quant_algo": "NVFP4" if i else "FP8"} for i in range(3)}
    assert native({"quantization_config": {"quant_algo": "MIXED_PRECISION", "quantized_layers": layers}}) == "fp4"
