"""Token mixers from a `config.json`: attention in its kinds, and mixers with a constant state. Knows no layer pattern.

Symbols: h hidden width, n heads, m KV heads, d head width, v value head width, r a compressed (low-rank) width.
Each mixer counts the norms that belong to it.
"""

from __future__ import annotations

from collections.abc import Callable

from eke.models.architecture import Attention
from eke.models.config.keys import Keys

NONE = Attention("none", heads=0, kv_heads=0, head_dim=0, v_head_dim=0, parameters=0)

_HEADS = ("num_attention_heads", "n_head", "n_heads", "num_heads")
_MAMBA_HEADS = ("mamba_num_heads", "mamba_n_heads", "num_heads")
_QKV_BIAS = {"qwen2", "qwen2_moe", "qwen2_vl", "gpt2", "opt", "mimo"}
_OUTPUT_BIAS = {"gpt2", "opt", "gpt_oss", "starcoder2"}
_HEAD_NORMS = {"qwen3", "gemma3", "gemma4", "glm4_moe", "hunyuan", "minimax_m", "qwen3_5"}


def mixer(keys: Keys, kind: str, layer: int) -> Attention:
    """The token mixer of one layer."""
    if keys.get("compress_ratios") is not None:
        return _compressed(keys, layer)
    if kind == "full" and keys.get("kv_lora_rank"):
        kind = "mla"
    return _KINDS[kind](keys, layer)


def _width(keys: Keys) -> int:
    return keys.need("hidden_size", "n_embd", "d_model", use="the width of the residual stream")


def _grouped(keys: Keys, layer: int, *, slides: bool) -> Attention:
    """Softmax attention with m ≤ n KV heads: h·n·d + h·m·(d + v) + n·v·h."""
    h = _width(keys)
    n, m, d, v = _heads(keys, layer, slides=slides)
    q, k, value, o = h * n * d, h * m * d, h * m * v, n * v * h
    if keys.flag("attn_output_gate", default=keys.model_type == "qwen3_next"):  # each head's output is gated
        q *= 2
    if keys.flag("use_head_wise_attn_gate"):  # Step 3: one gate a head
        q += h * n
    if keys.flag("attention_k_eq_v") and not slides:  # Gemma 4: global layers keep keys only
        value = 0
    shares = _shares_kv(keys, layer)
    parameters = q + o + (0 if shares else k + value) + _biases(keys, n * d, 0 if shares else m * (d + v)) + h
    if keys.flag("use_qk_norm") or keys.model_type.startswith(tuple(_HEAD_NORMS)):
        parameters += 2 * d
    indexed = _block_index(keys, layer)
    return Attention(
        "sliding" if slides else "full", heads=n, kv_heads=m, head_dim=d, v_head_dim=v, shares_kv=shares,
        parameters=parameters + (h * (indexed[0] + 1) * indexed[1] if indexed else 0),
        window=keys.need("sliding_window", "attention_chunk_size", use="how far a layer sees") if slides else None,
        selects=indexed[2] if indexed else None,
        index_dim=indexed[1] if indexed else 0,
    )  # fmt: skip


def _heads(keys: Keys, layer: int, *, slides: bool) -> tuple[int, int, int, int]:
    h = _width(keys)
    n = keys.need(*_HEADS, use="how many attention heads a layer has")
    m = keys.whole("num_key_value_heads", "num_kv_heads", "n_kv_heads", default=n, layer=layer) or n
    if keys.flag("multi_query") and not keys.flag("new_decoder_architecture"):  # Falcon, StarCoder
        m = 1
    d = keys.whole("head_dim", "attention_head_dim") or h // n
    v = keys.whole("v_head_dim", default=d)
    if slides and keys.get("swa_num_key_value_heads"):  # MiMo-V2
        n, m = keys.whole("swa_num_attention_heads", default=n), keys.whole("swa_num_key_value_heads", default=m)
        d, v = keys.whole("swa_head_dim", default=d), keys.whole("swa_v_head_dim", default=v)
    other = keys.get("attention_other_setting")  # Step 3.5: sliding layers have heads of their own
    if slides and isinstance(other, dict):
        n, m = int(other.get("num_attention_heads", n)), int(other.get("num_attention_groups", m))
    if not slides and keys.get("global_head_dim"):  # Gemma 4
        d = v = keys.whole("global_head_dim")
        m = keys.whole("num_global_key_value_heads", default=m)
    return n, m, d, v


def _biases(keys: Keys, queries: int, keys_values: int) -> int:
    h = _width(keys)
    everywhere = keys.flag("use_bias", "bias")
    qkv = keys.flag("attention_bias", "qkv_bias", default=keys.model_type in _QKV_BIAS) or everywhere
    output = keys.model_type in _OUTPUT_BIAS or everywhere or (qkv and keys.model_type == "llama")
    return (queries + keys_values if qkv else 0) + (h if output else 0)


def _shares_kv(keys: Keys, layer: int) -> bool:
    if keys.flag("use_cla"):  # cross-layer attention (Hunyuan-Large): each group's first layer keeps the cache
        return layer % keys.whole("cla_share_factor", default=1) != 0
    return layer >= keys.layers - keys.whole("num_kv_shared_layers")


def _block_index(keys: Keys, layer: int) -> tuple[int, int, int] | None:
    """Heads and width of a block-sparse indexer, and how many tokens it selects (MiniMax-M3)."""
    sparse = keys.get("sparse_attention_config")
    if not sparse or not sparse.get("use_sparse_attention"):
        return None
    if not sparse.get("sparse_attention_freq", [1] * keys.layers)[layer]:
        return None
    tokens = int(sparse["sparse_topk_blocks"]) * int(sparse["sparse_block_size"])
    return int(sparse["sparse_num_index_heads"]), int(sparse["sparse_index_dim"]), tokens


def _latent(keys: Keys, layer: int) -> Attention:
    """Multi-head latent attention (DeepSeek-V2, arXiv 2405.04434 §2.1).

    Queries: h·r_q + r_q·n·(d + d_rope), or uncompressed; keys and values: h·(r + d_rope) + r·n·(d + v); out: n·v·h.
    """
    h = _width(keys)
    n = keys.need(*_HEADS, use="how many attention heads a layer has")
    r = keys.need("kv_lora_rank", use="the compressed width of keys and values")
    rope, r_q = keys.whole("qk_rope_head_dim"), keys.whole("q_lora_rank")
    d = keys.need("qk_nope_head_dim", use="the width of a head without its rotary part")
    v = keys.need("v_head_dim", use="the width of a value head")
    queries = h * r_q + r_q + r_q * n * (d + rope) if r_q else h * n * (d + rope)
    gate = h * n * v if keys.flag("mla_use_output_gate") else 0
    index_dim = keys.whole("index_head_dim") if keys.get("index_topk") else 0
    return Attention(
        "mla", heads=n, kv_heads=n, head_dim=d + rope, v_head_dim=v, kv_rank=r, rope_dim=rope, q_rank=r_q,
        parameters=queries + h * (r + rope) + r + r * n * (d + v) + n * v * h + gate + h + _indexer(keys, layer),
        selects=keys.whole("index_topk") or None,
        index_dim=index_dim if _indexer(keys, layer) else 0,
    )  # fmt: skip


def _indexer(keys: Keys, layer: int) -> int:
    """Weights of DeepSeek's lightning indexer: queries, one key head with its norm, a weight a head (V3.2)."""
    types = keys.get("indexer_types")
    if not keys.get("index_topk") or (types and types[layer] == "shared"):
        return 0
    h, heads = _width(keys), keys.need("index_n_heads", use="how many heads the sparse indexer has")
    d = keys.need("index_head_dim", use="the width of a sparse indexer's head")
    return keys.whole("q_lora_rank", default=h) * heads * d + h * d + 2 * d + h * heads


def _compressed(keys: Keys, layer: int) -> Attention:
    """DeepSeek-V4: one shared KV head, `ratio` tokens to an entry, a sliding window besides, grouped output.

    Ratio 4 overlaps (twice the width) and selects with an indexer; larger ratios read all entries; 0 only slides.
    """
    h = _width(keys)
    n = keys.need(*_HEADS, use="how many attention heads a layer has")
    d = keys.need("head_dim", use="the width of a head")
    r_q = keys.need("q_lora_rank", use="the compressed width of queries")
    groups, r_o = keys.whole("o_groups", default=1), keys.need("o_lora_rank", use="the compressed width of outputs")
    ratio = int(keys.per_layer("compress_ratios", keys.get("compress_ratios"))[layer])
    indexed = ratio == 4
    index_heads, i = keys.whole("index_n_heads"), keys.whole("index_head_dim")
    wide = 2 if indexed else 1
    parameters = h * r_q + r_q + r_q * n * d + h * d + d + n + n * d * r_o + groups * r_o * h + h
    parameters += (2 * h * wide * d + ratio * wide * d + d) if ratio else 0
    parameters += (r_q * index_heads * i + 4 * h * i + 2 * ratio * i + i + h * index_heads) if indexed else 0
    return Attention(
        "mla" if ratio else "sliding", heads=n, kv_heads=1, head_dim=d, v_head_dim=d if ratio else 0,
        kv_rank=d, q_rank=r_q, parameters=parameters, compression=max(ratio, 1),
        window=keys.need("sliding_window", use="how many tokens stay uncompressed"),
        selects=keys.whole("index_topk") * ratio if indexed else None, index_dim=i if indexed else 0,
    )  # fmt: skip


def _mamba(keys: Keys, layer: int) -> Attention:
    """Mamba-2 (arXiv 2405.21060): width w = n·d, g groups of state s; state n·d·s and the short convolution's tail."""
    del layer
    h = _width(keys)
    n = keys.need(*_MAMBA_HEADS, use="how many heads a Mamba-2 layer has")
    d = keys.need("mamba_head_dim", "mamba_d_head", "head_dim", use="the width of a Mamba-2 head")
    s = keys.need("ssm_state_size", "mamba_d_state", "state_size", use="the size of the recurrent state")
    g = keys.whole("n_groups", "mamba_n_groups", default=1)
    taps = keys.whole("conv_kernel", "mamba_d_conv", default=4)
    w = n * d
    convolved = w + 2 * g * s
    bias = convolved if keys.flag("use_conv_bias", "mamba_conv_bias", default=True) else 0
    parameters = h * (2 * w + 2 * g * s + n) + convolved * taps + bias + 3 * n + w + w * h + h
    return Attention(
        "linear", heads=n, kv_heads=g, head_dim=s, v_head_dim=d, parameters=parameters,
        state=n * d * s + (taps - 1) * convolved,
    )  # fmt: skip


def _linear(keys: Keys, layer: int) -> Attention:
    if keys.get("linear_attn_config", "linear_num_heads"):
        return _kimi_delta(keys)
    if keys.get("linear_num_value_heads"):
        return _gated_delta(keys)
    return _mamba(keys, layer) if keys.get(*_MAMBA_HEADS[:2]) else _lightning(keys, layer)


def _gated_delta(keys: Keys) -> Attention:
    """Gated DeltaNet (arXiv 2412.06464) as in Qwen3-Next: n_k key heads of d, n_v value heads of v."""
    h = _width(keys)
    n_k = keys.need("linear_num_key_heads", use="how many key heads a linear layer has")
    n_v = keys.need("linear_num_value_heads", use="how many value heads a linear layer has")
    d = keys.need("linear_key_head_dim", use="the width of a linear layer's key head")
    v = keys.need("linear_value_head_dim", use="the width of a linear layer's value head")
    taps = keys.whole("linear_conv_kernel_dim", default=4)
    convolved = 2 * n_k * d + n_v * v
    parameters = h * (convolved + n_v * v + 2 * n_v) + convolved * taps + 2 * n_v + v + n_v * v * h + h
    return Attention(
        "linear", heads=n_v, kv_heads=n_k, head_dim=d, v_head_dim=v, parameters=parameters,
        state=n_v * d * v + (taps - 1) * convolved,
    )  # fmt: skip


def _kimi_delta(keys: Keys) -> Attention:
    """Kimi delta attention (arXiv 2510.26692): a gate per channel, through a low rank or at full rank."""
    h, inner = _width(keys), keys
    if nested := keys.get("linear_attn_config"):
        inner = Keys(nested, f"{keys.name}: linear_attn_config")
    n = inner.need("linear_num_heads", "num_heads", use="how many heads a linear layer has")
    d = inner.need("linear_head_dim", "head_dim", use="the width of a linear layer's head")
    taps = inner.whole("short_conv_kernel_size", "linear_conv_kernel_dim", default=4)
    w = n * d
    low_rank = h * d + d * w
    output_gate = h * w if inner.flag("use_full_rank_gate") else low_rank
    parameters = 4 * h * w + 3 * w * taps + low_rank + w + n + h * n + output_gate + d + h
    return Attention(
        "linear", heads=n, kv_heads=n, head_dim=d, v_head_dim=d, parameters=parameters,
        state=n * d * d + (taps - 1) * 3 * w,
    )  # fmt: skip


def _lightning(keys: Keys, layer: int) -> Attention:
    """Lightning attention (MiniMax-01, arXiv 2501.08313): q, k, v, an output gate, and a norm over all heads."""
    h = _width(keys)
    n, _, d, _ = _heads(keys, layer, slides=False)
    w = n * d
    return Attention(
        "linear", heads=n, kv_heads=n, head_dim=d, v_head_dim=d, parameters=5 * h * w + w + h, state=n * d * d
    )


_KINDS: dict[str, Callable[[Keys, int], Attention]] = {
    "full": lambda keys, layer: _grouped(keys, layer, slides=False),
    "sliding": lambda keys, layer: _grouped(keys, layer, slides=True),
    "mla": _latent,
    "mamba": _mamba,
    "linear": _linear,
    "none": lambda keys, layer: NONE,  # noqa: ARG005
}
