"""The precision a model's weights were published in, from `quantization_config` and `dtype`. Knows no chip.

Where layers differ, the precision of most quantised layers counts: experts are nearly all of a mixture's bytes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from eke.figures import Precision

_DTYPES: dict[str, Precision] = {"bfloat16": "bf16", "float16": "fp16", "float32": "fp32", "half": "fp16"}
_METHODS: dict[str, Precision] = {"mxfp4": "fp4", "nvfp4": "fp4", "fp8": "fp8", "fbgemm_fp8": "fp8"}
_BY_BITS: dict[tuple[int, str], Precision] = {
    (4, "float"): "fp4", (4, "int"): "int4", (8, "float"): "fp8", (8, "int"): "int8",
}  # fmt: skip


def native(config: Mapping[str, Any]) -> Precision:
    """What the published weights are stored in; bf16 where nothing is said."""
    quantised = config.get("quantization_config") or config.get("quantization")
    found = _quantised(quantised) if isinstance(quantised, Mapping) else None
    if found and config.get("expert_dtype") == "fp4":  # DeepSeek-V4: fp8 beside fp4 experts
        return "fp4"
    dtype = str(config.get("torch_dtype") or config.get("dtype") or "").removeprefix("torch.")
    return found or _DTYPES.get(dtype, "bf16")


def _quantised(q: Mapping[str, Any]) -> Precision | None:
    layers = q.get("quantized_layers")
    if isinstance(layers, Mapping) and layers:
        algorithms = Counter(str(v.get("quant_algo")) for v in layers.values() if isinstance(v, Mapping))
        if found := _algorithm(algorithms.most_common(1)[0][0]):
            return found
    if found := _algorithm(str(q.get("quant_algo") or "")):
        return found
    if found := _groups(q.get("config_groups")):
        return found
    bits = q.get("bits") or q.get("w_bit")
    if q.get("quant_method") in ("gptq", "awq", "gguf") and bits in (4, 8):
        return _BY_BITS[bits, "int"]
    return _METHODS.get(str(q.get("quant_method")))


def _algorithm(name: str) -> Precision | None:
    name = name.upper()
    if "FP4" in name:
        return "fp4"
    if "FP8" in name:
        return "fp8"
    return {"W4A16_AWQ": "int4", "INT4_AWQ": "int4", "W8A8_SQ_PER_CHANNEL": "int8", "INT8_SQ": "int8"}.get(name)  # type: ignore[return-value]


def _groups(groups: object) -> Precision | None:
    """The group with the most targets, in the way of compressed-tensors and ModelOpt."""
    if not isinstance(groups, Mapping) or not groups:
        return None
    group = max(groups.values(), key=lambda g: len(g.get("targets") or ()))
    weights = group.get("weights") or {}
    return _BY_BITS.get((int(weights.get("num_bits") or 0), str(weights.get("type", "int"))))
