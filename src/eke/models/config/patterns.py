"""Which layer is of which kind: the many ways a `config.json` spells its pattern. Knows no widths.

Token mixers are called `full`, `sliding`, `linear`, `mamba`, `mla`, `none`; channel mixers `dense`, `moe`, `none`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from eke.errors import InputError
from eke.models.config.keys import Keys

MIXERS = {
    "full_attention": "full", "deepseek_sparse_attention": "full",
    "attention": "full", "full": "full", "global": "full", "*": "full", "F": "full",
    "sliding_attention": "sliding", "sliding": "sliding", "chunked_attention": "sliding", "local": "sliding",
    "linear_attention": "linear", "lightning": "linear", "lightning_attention": "linear", "kda": "linear",
    "mamba": "mamba", "mamba2": "mamba", "M": "mamba",
}  # fmt: skip
CHANNELS = {
    "moe": "moe",
    "E": "moe",
    "mlp": "dense",
    "-": "dense",
    "sparse": "moe",
    "dense": "dense",
    "hash_moe": "moe",
}

_SLIDES_EVERYWHERE = {"mistral", "mixtral", "phi3", "phimoe", "starcoder2"}
_SLIDES_ODD_ONE_OUT = {"gemma2": 2, "gemma3_text": 6, "gemma3": 6, "cohere2": 4, "gpt_oss": 2}


def mixers(keys: Keys) -> list[str]:
    """The token mixer of every layer."""
    n = keys.layers
    if (blocks := _single_mixer_blocks(keys)) is not None:
        return [MIXERS.get(b, "none") for b in blocks]
    if (names := keys.get("layer_types")) is not None:
        return [_known(keys, "layer_types", str(t), MIXERS) for t in keys.per_layer("layer_types", names)[:n]]
    if (ones := keys.get("hybrid_layer_pattern")) is not None:  # MiMo-V2: 1 slides
        return ["sliding" if one else "full" for one in keys.per_layer("hybrid_layer_pattern", ones)[:n]]
    if (ones := keys.get("attn_type_list")) is not None:  # MiniMax-01: 1 is softmax attention
        return ["full" if one else "linear" for one in keys.per_layer("attn_type_list", ones)[:n]]
    if linear := keys.get("linear_attn_config"):  # Kimi Linear: layers counted from 1
        full = set(linear.get("full_attn_layers") or ())
        return ["full" if i + 1 in full else "linear" for i in range(n)]
    if every := keys.whole("full_attention_interval"):
        return ["linear" if (i + 1) % every else "full" for i in range(n)]
    if keys.model_type == "bamba":
        full_at = set(keys.get("attn_layer_indices") or ())
        return ["full" if i in full_at else "mamba" for i in range(n)]
    if keys.model_type == "mamba2":
        return ["mamba"] * n
    return _attention_only(keys, n)


def _attention_only(keys: Keys, n: int) -> list[str]:
    if keys.whole("attention_chunk_size") and keys.model_type.startswith("llama4"):
        global_every = keys.whole("no_rope_layer_interval", default=4)
        return ["sliding" if (i + 1) % global_every else "full" for i in range(n)]
    if not keys.whole("sliding_window"):
        return ["full"] * n
    every = keys.get("sliding_window_pattern", "_sliding_window_pattern")
    every = every if isinstance(every, int) else _SLIDES_ODD_ONE_OUT.get(keys.model_type)
    if every:
        return ["sliding" if (i + 1) % every else "full" for i in range(n)]
    if keys.flag("use_sliding_window"):  # Qwen2: the upper layers slide
        below = keys.whole("max_window_layers", default=0)
        return ["sliding" if i >= below else "full" for i in range(n)]
    return ["sliding" if keys.model_type in _SLIDES_EVERYWHERE else "full"] * n


def channels(keys: Keys) -> list[str]:
    """The channel mixer of every layer."""
    n = keys.layers
    if (blocks := _single_mixer_blocks(keys)) is not None:
        return [CHANNELS.get(b, "none") for b in blocks]
    if keys.model_type == "mamba2":
        return ["none"] * n
    if not has_experts(keys):
        return ["dense"] * n
    return ["moe" if sparse else "dense" for sparse in _sparse(keys, n)]


EXPERTS = ("n_routed_experts", "num_local_experts", "num_experts", "moe_num_experts")


def has_experts(keys: Keys) -> bool:
    """Whether any layer mixes experts."""
    value = keys.get(*EXPERTS)
    most = max(value) if isinstance(value, list) else value
    return bool(most and most > 1) and keys.flag("enable_moe_block", default=True)


def _sparse(keys: Keys, n: int) -> list[bool]:
    if (names := keys.get("mlp_layer_types")) is not None:
        return [
            _known(keys, "mlp_layer_types", str(t), CHANNELS) == "moe"
            for t in keys.per_layer("mlp_layer_types", names)[:n]
        ]
    frequency = keys.get("moe_layer_freq")
    if isinstance(frequency, list):
        return [bool(one) for one in keys.per_layer("moe_layer_freq", frequency)[:n]]
    if listed := keys.get("moe_layers", "moe_layers_enum"):
        chosen = {int(i) for i in (listed.split(",") if isinstance(listed, str) else listed)}
        return [i in chosen for i in range(n)]
    if step := keys.whole("interleave_moe_layer_step"):  # Llama 4
        return [(i + 1) % step == 0 for i in range(n)]
    if (start := keys.get("moe_layer_start_index")) is not None:  # ERNIE 4.5
        end, interval = keys.whole("moe_layer_end_index", default=n - 1), keys.whole("moe_layer_interval", default=1)
        return [int(start) <= i <= end and (i + 1) % interval == 0 for i in range(n)]
    return _sparse_by_step(keys, n)


def _sparse_by_step(keys: Keys, n: int) -> list[bool]:
    dense_first = keys.whole("first_k_dense_replace", "moe_layer_num_skipped")
    step = keys.whole("moe_layer_freq", default=1)  # DeepSeek
    qwen_step = keys.whole("decoder_sparse_step", default=1)
    dense_only = set(keys.get("mlp_only_layers") or ())
    return [
        i >= dense_first and i % max(step, 1) == 0 and (i + 1) % max(qwen_step, 1) == 0 and i not in dense_only
        for i in range(n)
    ]


def _single_mixer_blocks(keys: Keys) -> Sequence[Any] | None:
    """Nemotron-H: every layer is either a token mixer or a channel mixer."""
    if (pattern := keys.get("hybrid_override_pattern")) is not None:
        return [_known(keys, "hybrid_override_pattern", c, dict.fromkeys("ME*-", c)) for c in pattern]
    blocks = keys.get("layers_block_type")
    if keys.model_type == "nemotron_h" and blocks is not None:
        return [
            _known(keys, "layers_block_type", b, dict.fromkeys(("mamba", "attention", "moe", "mlp"), b)) for b in blocks
        ]
    return None


def _known(keys: Keys, key: str, value: str, table: dict[str, str]) -> str:
    if value not in table:
        raise InputError(
            f"{keys.name}: `{key}` names a layer {value!r} that Eke does not know",
            why=f"known: {', '.join(sorted(table))}",
            remedy="open an issue with this config.json",
        )
    return table[value]
