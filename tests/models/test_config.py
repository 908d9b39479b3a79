"""Any `config.json` becomes an architecture, or an error that names what is missing."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from tests import strategies

from eke.errors import InputError
from eke.models.architecture import Architecture
from eke.models.config import parse

LLAMA: dict[str, Any] = {
    "model_type": "llama", "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
    "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 128256, "max_position_embeddings": 8192,
    "tie_word_embeddings": False,
}  # fmt: skip
MLA: dict[str, Any] = {
    "model_type": "deepseek_v3", "hidden_size": 7168, "intermediate_size": 18432, "num_hidden_layers": 61,
    "num_attention_heads": 128, "num_key_value_heads": 128, "vocab_size": 129280, "kv_lora_rank": 512,
    "q_lora_rank": 1536, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128, "n_routed_experts": 256,
    "num_experts_per_tok": 8, "n_shared_experts": 1, "moe_intermediate_size": 2048, "first_k_dense_replace": 3,
    "tie_word_embeddings": False,
}  # fmt: skip


def kinds(a: Architecture) -> dict[str, int]:
    """How many layers of each attention kind."""
    found: dict[str, int] = {}
    for b in a.blocks:
        found[b.attention.kind] = found.get(b.attention.kind, 0) + b.count
    return found


def test_dense_grouped() -> None:
    """Llama 3 8B has the 8,030,261,248 parameters of its published weights, and 128 KiB of 16-bit cache a token."""
    a = parse(LLAMA, "llama")
    assert a.parameters == 8_030_261_248
    assert a.active_parameters == a.parameters - a.embedding_parameters
    assert 2 * a.kv_values(1) == 128 * 1024
    assert (a.layers, a.has_experts) == (32, False)


def test_latent_attention_and_experts() -> None:
    """DeepSeek-V3 has the 671,026,404,352 parameters of its weights, 37B a token, and one compressed cache a layer."""
    a = parse(MLA, "v3")
    assert a.parameters == 671_026_404_352
    assert a.active_parameters == pytest.approx(37e9, rel=0.02)
    assert a.kv_values(10) == 61 * 576 * 10
    assert [(b.count, b.feed_forward.experts) for b in a.blocks] == [(3, 0), (58, 256)]


def test_tied_head_counts_once() -> None:
    """A tied output matrix is no second matrix, but every token still multiplies with it."""
    untied, tied = parse(LLAMA, "x"), parse(LLAMA | {"tie_word_embeddings": True}, "x")
    assert tied.head_parameters == 0
    assert untied.parameters - tied.parameters == 128256 * 4096
    assert untied.active_parameters == tied.active_parameters


def test_sliding_layers_keep_a_window() -> None:
    """Gemma 3 slides five layers in six; beyond the window only the sixth grows its cache."""
    config = LLAMA | {"model_type": "gemma3_text", "head_dim": 128, "sliding_window": 1024, "num_hidden_layers": 12}
    a = parse(config, "gemma")
    assert kinds(a) == {"sliding": 10, "full": 2}
    assert a.kv_values(5000) - a.kv_values(4000) == 1000 * 2 * 8 * 256


def test_alternating_windows_follow_layer_types() -> None:
    """gpt-oss names the kind of every layer."""
    types = ["sliding_attention", "full_attention"] * 16
    a = parse(LLAMA | {"layer_types": types, "sliding_window": 128}, "oss")
    assert kinds(a) == {"sliding": 16, "full": 16}


def test_a_window_that_is_switched_off_does_not_slide() -> None:
    """Qwen carries a `sliding_window` that `use_sliding_window` turns off."""
    assert kinds(parse(LLAMA | {"model_type": "qwen2", "sliding_window": 4096, "use_sliding_window": False}, "q")) == {
        "full": 32
    }
    assert kinds(parse(LLAMA | {"model_type": "mistral", "sliding_window": 4096}, "m")) == {"sliding": 32}


def test_cross_layer_attention_shares_half_the_cache() -> None:
    """Hunyuan-Large keeps keys and values in every second layer only."""
    a = parse(LLAMA | {"model_type": "hunyuan", "use_cla": True, "cla_share_factor": 2}, "h")
    assert a.kv_values(7) == parse(LLAMA, "l").kv_values(7) / 2
    assert a.parameters < parse(LLAMA, "l").parameters


def test_ernie_places_experts_from_to() -> None:
    """ERNIE 4.5 says from which layer to which, and every how many, experts stand."""
    moe = {
        "moe_num_experts": 64,
        "moe_k": 6,
        "moe_intermediate_size": 1536,
        "moe_layer_start_index": 1,
        "moe_layer_end_index": 30,
    }
    a = parse(LLAMA | moe | {"model_type": "ernie4_5_moe"}, "e")
    assert sum(b.count for b in a.blocks if b.feed_forward.experts) == 30
    a = parse(LLAMA | moe | {"model_type": "ernie4_5_moe", "moe_layer_interval": 2}, "e")
    assert sum(b.count for b in a.blocks if b.feed_forward.experts) == 15


def test_llama4_interleaves() -> None:
    """Llama 4 Maverick has experts in every second layer, one shared, and dense layers of another width."""
    moe = {
        "num_local_experts": 128,
        "num_experts_per_tok": 1,
        "interleave_moe_layer_step": 2,
        "intermediate_size_mlp": 16384,
    }
    a = parse(LLAMA | moe | {"model_type": "llama4_text", "attention_chunk_size": 8192}, "l4")
    dense = [b for b in a.blocks if not b.feed_forward.experts]
    assert sum(b.count for b in dense) == 16
    assert dense[0].feed_forward.intermediate == 16384
    assert all(b.feed_forward.shared_intermediate == 14336 for b in a.blocks if b.feed_forward.experts)
    assert kinds(a) == {"sliding": 24, "full": 8}


def test_recurrent_layers_have_state_and_no_cache() -> None:
    """Gated delta layers (Qwen3-Next) cost a constant per sequence, whatever its length."""
    linear = {
        "model_type": "qwen3_next", "full_attention_interval": 4, "linear_num_key_heads": 16,
        "linear_num_value_heads": 32,
        "linear_key_head_dim": 128, "linear_value_head_dim": 128, "head_dim": 128,
    }  # fmt: skip
    a = parse(LLAMA | linear, "next")
    assert kinds(a) == {"linear": 24, "full": 8}
    state = 24 * (32 * 128 * 128 + 3 * (2 * 16 + 32) * 128)
    assert a.kv_values(0) == state
    assert a.kv_values(1000) == state + 1000 * 8 * 8 * 256


def test_nemotron_blocks_are_one_thing_each() -> None:
    """A Nemotron-H layer is a mixer or a feed-forward, never both."""
    pattern = {
        "hybrid_override_pattern": "M-M*-",
        "mamba_num_heads": 64,
        "mamba_head_dim": 64,
        "ssm_state_size": 128,
        "n_groups": 8,
    }
    a = parse(LLAMA | pattern | {"model_type": "nemotron_h", "num_hidden_layers": 5, "mlp_hidden_act": "relu2"}, "n")
    assert kinds(a) == {"linear": 2, "full": 1, "none": 2}
    assert all((b.attention.kind == "none") != (b.feed_forward.intermediate == 0) for b in a.blocks)
    assert {b.feed_forward.matrices for b in a.blocks} == {0, 2}


def test_sparse_attention_reads_less_than_it_keeps() -> None:
    """DeepSeek-V3.2 keeps every token, and its indexer's key besides, but reads 2,048."""
    a = parse(MLA | {"index_topk": 2048, "index_n_heads": 64, "index_head_dim": 128}, "v32")
    assert {b.attention.selects for b in a.blocks} == {2048}
    assert a.kv_values(10) == 61 * (576 + 128) * 10


def test_compressed_attention_keeps_few_entries() -> None:
    """DeepSeek-V4 keeps one entry for 4 or 128 tokens, and a short window uncompressed."""
    v4 = {
        "model_type": "deepseek_v4", "num_hidden_layers": 2, "compress_ratios": [4, 128], "head_dim": 512,
        "q_lora_rank": 1024, "o_lora_rank": 1024, "o_groups": 8, "sliding_window": 128, "index_topk": 512,
        "index_n_heads": 64, "index_head_dim": 128,
    }  # fmt: skip
    a = parse(LLAMA | v4, "v4")
    assert a.kv_values(12800) == (3200 + 128) * 512 + 3200 * 128 + (100 + 128) * 512


def test_nested_text_config_wins() -> None:
    """A vision model's language model is what counts."""
    a = parse({"model_type": "x", "hidden_size": 1, "text_config": LLAMA, "vision_config": {"hidden_size": 9}}, "vl")
    assert a.parameters == parse(LLAMA, "l").parameters


@pytest.mark.parametrize(
    "key", ["hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "vocab_size"]
)
def test_a_missing_key_is_named(key: str) -> None:
    """The error names the key, what it is for, and what to add."""
    with pytest.raises(InputError, match=f"`{key}`") as caught:
        parse({k: v for k, v in LLAMA.items() if k != key}, "mine")
    assert "mine" in str(caught.value)
    assert "Try: add" in str(caught.value)


@pytest.mark.parametrize("value", ["4096", -1, 0, 40.5, True, [4096]])
def test_an_impossible_value_is_named(value: object) -> None:
    """A width is a whole number of at least one."""
    with pytest.raises(InputError, match="hidden_size"):
        parse(LLAMA | {"hidden_size": value}, "mine")


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ([], "one object"),
        (LLAMA | {"layer_types": ["full_attention"] * 3}, "3 entries for 32 layers"),
        (LLAMA | {"layer_types": ["telepathy"] * 32}, "telepathy"),
        (LLAMA | {"model_type": "jamba"}, "jamba"),
        (LLAMA | {"is_encoder_decoder": True, "model_type": "t5"}, "t5"),
        (LLAMA | {"num_local_experts": 8}, "num_experts_per_tok"),
    ],
)
def test_what_cannot_be_sized_is_refused(config: object, says: str) -> None:
    """An unknown layer, family or shape is an error, never a wrong number."""
    with pytest.raises(InputError, match=says):
        parse(config, "mine")


@given(strategies.dense_configs())
def test_counts_hold_together(config: dict[str, Any]) -> None:
    """Whatever the widths: active never exceeds total, caches grow, twice the layers are twice the blocks."""
    a = parse(config, "any")
    assert 0 < a.active_parameters <= a.parameters
    assert a.kv_values(10) <= a.kv_values(11)
    twice = parse(config | {"num_hidden_layers": 2 * config["num_hidden_layers"]}, "any")
    outside = a.embedding_parameters + a.head_parameters + a.other_parameters
    assert twice.parameters - outside == 2 * (a.parameters - outside)


def test_every_config_from_outside_reads(shared_data: Path) -> None:
    """Every collected config.json reads, except three whose layer count nobody published, and to the table's counts."""
    lines = (shared_data / "models" / "arch_table.csv").read_text().splitlines()
    table = {row["file"]: row for row in csv.DictReader(lines)}
    unread = {}
    for file in sorted((shared_data / "models" / "hf_configs").glob("*.json")):
        row = table[f"hf_configs/{file.name}"]
        try:
            a = parse(json.loads(file.read_text()), file.stem)
        except InputError as error:
            unread[file.stem] = str(error)
            continue
        if total := row["params_total_B_computed"]:
            assert a.parameters / 1e9 == pytest.approx(float(total), rel=0.01, abs=0.006), file.stem
    assert set(unread) == {"tencent--Hunyuan-1.8B-Instruct", "tencent--Hunyuan-4B-Instruct", "tencent--Hunyuan3-299B"}
    assert all("num_hidden_layers" in why for why in unread.values())
