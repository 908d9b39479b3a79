"""Channel mixers from a `config.json`: dense layers and mixtures of experts. Knows no layer pattern.

Symbols: h hidden width, f intermediate width, E experts, k experts a token, c matrices (3 with a gate, else 2).
"""

from __future__ import annotations

from eke.models.architecture import FeedForward
from eke.models.config.keys import Keys
from eke.models.config.patterns import EXPERTS

NONE = FeedForward(intermediate=0, matrices=0, parameters=0, active_parameters=0)

_UNGATED = {
    "gpt2", "gpt_neox", "opt", "falcon", "starcoder2", "nemotron", "phi", "bloom", "mpt", "gptj", "codegen", "gpt_neo",
    "gpt_bigcode", "apertus",
}  # fmt: skip
_UNGATED_ACTIVATIONS = {"relu2", "relu", "gelu_new_ungated"}
_BIASED = {"gpt2", "opt", "gpt_neox", "starcoder2", "phi", "bloom", "gptj", "codegen", "gpt_neo", "gpt_bigcode"}
_FOUR_TIMES = {"gpt2", "gptj", "codegen", "gpt_neo", "gpt_bigcode", "bloom", "mpt", "falcon"}
_GATED = {"bitnet"}  # in spite of its activation
_DENSE_WIDTH = (
    "dense_intermediate_size",
    "intermediate_size_mlp",
    "intermediate_size",
    "n_inner",
    "ffn_dim",
    "ffn_hidden_size",
)
_SHARED_COUNT = ("n_shared_experts", "num_shared_expert", "num_shared_experts", "moe_num_shared_experts")
_SHARED_WIDTH = (
    "shared_expert_intermediate_size",
    "moe_shared_expert_intermediate_size",
    "share_expert_dim",
    "shared_intermediate_size",
)


def feed_forward(keys: Keys, kind: str, layer: int) -> FeedForward:
    """The channel mixer of one layer: `dense`, `moe` or `none`."""
    if kind == "none":
        return NONE
    return _mixture(keys, layer) if kind == "moe" else _dense(keys, layer)


def _matrices(keys: Keys) -> int:
    if keys.model_type in _GATED:
        return 3
    activation = str(keys.get("mlp_hidden_act", "hidden_act", "activation_function") or "")
    return 2 if keys.model_type in _UNGATED or activation in _UNGATED_ACTIVATIONS else 3


def _dense(keys: Keys, layer: int) -> FeedForward:
    """c·h·f."""
    h = keys.need("hidden_size", "n_embd", "d_model", use="the width of the residual stream")
    if keys.get(*_DENSE_WIDTH) is None and keys.model_type in _FOUR_TIMES:
        f = 4 * h
    else:
        f = keys.need(*_DENSE_WIDTH, use="the width of a dense feed-forward layer", layer=layer)
    return dense(keys, h, f)


def dense(keys: Keys, h: int, f: int) -> FeedForward:
    """A dense layer of width f, with its norm and biases."""
    c = _matrices(keys)
    biased = keys.flag("mlp_bias", "use_bias", default=keys.model_type in _BIASED)
    parameters = c * h * f + h + ((c - 1) * f + h if biased else 0)
    return FeedForward(intermediate=f, matrices=c, parameters=parameters, active_parameters=parameters)


def _mixture(keys: Keys, layer: int) -> FeedForward:
    """E·c·w·f in routed experts (w = h, or a narrower latent), c·h·f_shared always, h·E to route."""
    h = keys.need("hidden_size", use="the width of the residual stream")
    experts = keys.need(*EXPERTS, use="how many experts there are", layer=layer)
    k = keys.need(
        "num_experts_per_tok", "num_experts_per_token", "moe_topk", "moe_k", "top_k_experts", "experts_per_token",
        "moe_top_k", use="how many experts a token visits", layer=layer,
    )  # fmt: skip
    f = keys.need(
        "moe_intermediate_size",
        "expert_ffn_hidden_size",
        "intermediate_size",
        use="the width of an expert",
        layer=layer,
    )
    c, shared = _matrices(keys), _shared(keys, f, layer)
    latent = keys.whole("moe_latent_size", "routed_expert_hidden_size") or None
    gate = h if keys.get("shared_expert_intermediate_size") else 0  # Qwen scales its shared expert
    always = h * experts + c * h * shared + gate + 2 * h * (latent or 0) + h
    expert = c * (latent or h) * f + _expert_bias(keys, h, f)
    return FeedForward(
        intermediate=f, matrices=c, experts=experts, experts_per_token=k, shared_intermediate=shared, latent=latent,
        parameters=always + experts * expert,
        active_parameters=always + k * expert,
    )  # fmt: skip


def _expert_bias(keys: Keys, h: int, f: int) -> int:
    return 2 * f + h if keys.model_type == "gpt_oss" else 0


def _shared(keys: Keys, f: int, layer: int) -> int:
    """Width of all experts that every token visits, together."""
    if keys.model_type.startswith("llama4"):  # one, always
        return f
    if keys.flag("enable_moe_block"):  # Gemma 4: a dense layer beside the experts
        return keys.whole("intermediate_size")
    width = keys.whole(*_SHARED_WIDTH, layer=layer)
    count = keys.whole(*_SHARED_COUNT, layer=layer)
    return max(count, 1) * width if width else count * f
