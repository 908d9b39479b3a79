"""From a Hugging Face `config.json` to an `Architecture`. Knows spellings and families, no chip and no catalogue.

`keys` reads values, `patterns` says which layer is of which kind, `mixers` and `feed_forwards` size them,
`precision` says how the weights were published.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from eke.errors import InputError
from eke.models.architecture import Architecture, Attention, Block, FeedForward
from eke.models.config.feed_forwards import dense, feed_forward
from eke.models.config.keys import Keys, text_keys
from eke.models.config.mixers import NONE, mixer
from eke.models.config.patterns import channels, mixers
from eke.models.config.precision import native

__all__ = ["parse"]

_TIED_BY_DEFAULT = ("gemma", "gpt2", "opt", "cohere", "falcon", "bloom", "mpt", "gpt_bigcode", "gpt_neo")
_LEARNED_POSITIONS = {"gpt2", "opt", "gpt_neo", "gpt_bigcode"}
_UNKNOWN = {
    "jamba", "falcon_h1", "zamba", "zamba2", "recurrent_gemma", "lfm2", "lfm2_moe", "jetmoe", "longcat_flash",
    "gemma3n", "gemma3n_text", "rwkv", "mamba", "falcon_mamba", "xlstm", "dbrx", "xglm",
}  # fmt: skip
_CONTEXT = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length", "n_ctx", "model_max_length")


def parse(config: object, name: str) -> Architecture:
    """The architecture that `config` (the parsed `config.json`) describes, of its language model only.

    Raises:
        InputError: a key is missing or impossible; names it, says what it is for and what to add.
    """
    keys = text_keys(config, name)
    if keys.model_type in _UNKNOWN or keys.flag("is_encoder_decoder"):
        raise InputError(
            f"{name}: Eke cannot size a model of type {keys.model_type!r} yet",
            why="its layers are of a kind that no formula here describes",
            remedy="plan with a model of another family, or open an issue with this config.json",
        )
    hidden = keys.need("hidden_size", "n_embd", "d_model", use="the width of the residual stream")
    vocabulary = keys.need("vocab_size", "padded_vocab_size", use="how many tokens there are")
    context = keys.whole(*_CONTEXT) or 4096
    positions = context * hidden if keys.model_type in _LEARNED_POSITIONS else 0
    tied = keys.flag("tie_word_embeddings", default=keys.model_type.startswith(_TIED_BY_DEFAULT))
    return Architecture(
        name=name,
        hidden=hidden,
        vocabulary=vocabulary,
        blocks=_blocks(keys, hidden),
        embedding_parameters=vocabulary * hidden + positions,
        head_parameters=0 if tied else vocabulary * hidden,
        other_parameters=hidden,
        max_context=context,
        native_precision=native(keys.config),
    )


def _blocks(keys: Keys, hidden: int) -> tuple[Block, ...]:
    if (searched := keys.get("block_configs")) is not None:
        layers = [_searched(keys, hidden, i, block) for i, block in enumerate(searched)]
    else:
        kinds = zip(mixers(keys), channels(keys), strict=True)
        layers = [(mixer(keys, m, i), feed_forward(keys, c, i)) for i, (m, c) in enumerate(kinds)]
    return tuple(Block(count, attention, ff) for (attention, ff), count in Counter(layers).items())


def _searched(keys: Keys, hidden: int, layer: int, block: dict[str, Any]) -> tuple[Attention, FeedForward]:
    """One block of a model found by architecture search (Nemotron-NAS): each says what it kept."""
    attention, ff = block.get("attention") or {}, block.get("ffn") or {}
    if attention.get("replace_with_linear") or ff.get("replace_with_linear"):
        raise InputError(
            f"{keys.name}: `block_configs` entry {layer} is replaced with a linear layer",
            remedy="open an issue with this config.json",
        )
    heads = keys.need("num_attention_heads", use="how many attention heads a layer has")
    own = Keys({**keys.config, "num_key_value_heads": heads // int(attention.get("n_heads_in_group") or 1)}, keys.name)
    # DeciLM: two thirds of the multiple, rounded up to 256.
    width = -(-int(2 * float(ff.get("ffn_mult") or 0) * hidden / 3) // 256) * 256
    return (
        NONE if attention.get("no_op") else mixer(own, "full", layer),
        feed_forward(keys, "none", layer) if ff.get("no_op") or not width else dense(keys, hidden, width),
    )
