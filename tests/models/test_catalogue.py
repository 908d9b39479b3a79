"""The catalogue: every model reads, and its counts are the ones its maker publishes."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from eke.errors import InputError, UnknownName
from eke.models import catalogue

NAMES = catalogue.names()
PUBLISHED = [e.name for e in catalogue.entries() if e.published]


def test_at_least_seventy_models_with_sources() -> None:
    """Every entry says where its keys come from; names are unique."""
    assert len(NAMES) >= 70
    assert len(NAMES) == len({n.casefold() for n in NAMES})
    assert all(e.source for e in catalogue.entries())


@pytest.mark.parametrize("name", PUBLISHED)
def test_counts_are_the_published_ones(name: str) -> None:
    """Totals and active counts within 2% of the maker's, counted the maker's way, or within its own rounding."""
    published, a = catalogue.entry(name).published, catalogue.architecture(name)
    assert published is not None
    assert published.source
    assert a.parameters == pytest.approx(published.total, rel=0.02, abs=published.to)
    if published.active:
        assert published.active_of(a) == pytest.approx(published.active, rel=0.02, abs=published.to)


def test_almost_all_publish_a_total() -> None:
    """The check above is about nearly the whole catalogue, and about every mixture of a known maker."""
    assert len(PUBLISHED) >= len(NAMES) - 5
    assert sum(1 for e in catalogue.entries() if e.published and e.published.active) >= 40
    assert sum(1 for e in catalogue.entries() if e.published and e.published.to) <= 12


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("Qwen/Qwen3-8B", "Qwen3-8B"),
        ("qwen3-8b", "Qwen3-8B"),
        ("meta-llama/Llama-3.1-8B-Instruct", "Llama-3.1-8B"),
        ("LLAMA3.1_405B", "Llama-3.1-405B"),
        ("baidu/ERNIE-4.5-21B-A3B-PT", "ERNIE-4.5-21B-A3B"),
        ("Hunyuan-A13B", "Hunyuan-A13B-Instruct"),
        ("google/gemma-3-27b-it", "Gemma-3-27B"),
        ("DeepSeek-R1-0528", "DeepSeek-R1"),
        ("deepseek-ai/DeepSeek-R1-Distill-Llama-70B", "Llama-3.1-70B"),
        ("mistralai/Mistral-7B-Instruct-v0.3", "Mistral-7B-v0.3"),
    ],
)
def test_names_as_people_write_them(asked: str, found: str) -> None:
    """Case, organisation, separators and instruction suffixes do not matter."""
    assert catalogue.architecture(asked).name == found


def test_every_alias_leads_to_its_entry() -> None:
    """No alias is taken by another entry."""
    for e in catalogue.entries():
        for name in (e.name, *e.aliases, *([e.hub] if e.hub else [])):
            assert catalogue.entry(name).name == e.name, name


def test_an_unknown_name_offers_near_ones() -> None:
    """A slip of the pen is answered with what was probably meant."""
    with pytest.raises(UnknownName, match="Qwen3-8B"):
        catalogue.architecture("Qwen3-9B")


@pytest.mark.parametrize(
    ("asked", "instead"),
    [
        ("Qwen/Qwen2.5-72B-Instruct-AWQ", "model: Qwen2.5-72B with variants: [int4]"),
        ("Qwen/Qwen2.5-72B-Instruct-GPTQ-Int8", "model: Qwen2.5-72B with variants: [int8]"),
        ("RedHatAI/Meta-Llama-3.1-70B-FP8-dynamic", "model: Llama-3.1-70B with variants: [fp8]"),
    ],
)
def test_a_quantised_checkpoint_is_a_variant(asked: str, instead: str) -> None:
    """Its model is a choice of the catalogue; its precision one of the plan's."""
    with pytest.raises(UnknownName, match=re.escape(instead)):
        catalogue.architecture(asked)


def test_an_unpublished_layer_count_is_not_invented() -> None:
    """Hunyuan 1.8B and 4B are left out: nobody published their layer count."""
    with pytest.raises(UnknownName):
        catalogue.architecture("Hunyuan-4B-Instruct")


def test_a_path_works_like_a_name(tmp_path: Path) -> None:
    """A config.json, and the folder that holds one."""
    folder = tmp_path / "my-model"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(dict(catalogue.entry("Qwen3-8B").config)))
    by_folder, by_file = catalogue.architecture(folder), catalogue.architecture(str(folder / "config.json"))
    assert by_folder == by_file
    assert by_folder.name == "my-model"
    assert by_folder.parameters == catalogue.architecture("Qwen3-8B").parameters


def test_precision_may_lie_beside_the_config(tmp_path: Path) -> None:
    """Some publish it in `hf_quant_config.json`."""
    (tmp_path / "config.json").write_text(json.dumps(dict(catalogue.entry("Qwen3-8B").config)))
    (tmp_path / "hf_quant_config.json").write_text('{"quantization": {"quant_algo": "NVFP4"}}')
    assert catalogue.architecture(tmp_path).native_precision == "fp4"


@pytest.mark.parametrize("text", ["{", "[1]", ""])
def test_a_broken_file_is_an_input_error(tmp_path: Path, text: str) -> None:
    """Not a traceback."""
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(InputError):
        catalogue.architecture(tmp_path)


def test_a_missing_file_is_an_input_error(tmp_path: Path) -> None:
    """The path is named."""
    with pytest.raises(InputError, match=r"nowhere\.json"):
        catalogue.architecture(tmp_path / "nowhere.json")


def test_every_model_of_the_reference_scenarios_is_here(shared_data: Path) -> None:
    """All six scenarios name models that the catalogue knows."""
    for file in sorted((shared_data.parent / "scenarios").glob("*.yaml")):
        for workload in yaml.safe_load(file.read_text())["workloads"]:
            assert catalogue.architecture(workload["model"]).layers > 0


@pytest.mark.parametrize("name", ["embedded", "embedded-1.5b", "tiny"])
def test_what_this_machine_runs_is_here(name: str) -> None:
    """The models that `eke up` serves and trains without a hub."""
    assert catalogue.architecture(name).name == name


@pytest.mark.parametrize(
    ("model", "kilobytes"), [("DeepSeek-V3", 70.272), ("Qwen2.5-72B", 327.680), ("Llama-3.1-405B", 516.096)]
)
def test_cache_of_a_token_is_as_published(model: str, kilobytes: float) -> None:
    """KV cache a token in 16 bits: MLA and GQA, arXiv 2505.09343, table 1."""
    architecture = catalogue.architecture(model)
    assert 2 * architecture.kv_values(1) == pytest.approx(1e3 * kilobytes)
    assert 2 * sum(c.layers * c.per_token for c in architecture.caches()) == pytest.approx(1e3 * kilobytes)


def test_a_window_bounds_the_cache() -> None:
    """Mistral-7B keeps 131 kB for each of the last 4,096 tokens and no more."""
    mistral = catalogue.architecture("Mistral-7B")
    (cache,) = mistral.caches()
    assert (cache.layers, cache.window, 2 * cache.layers * cache.per_token) == (32, 4096, 131072)
    assert mistral.kv_values(32768) == mistral.kv_values(4096) == 4096 * mistral.kv_values(1)


def test_a_state_does_not_grow() -> None:
    """A hybrid keeps its recurrent state from the first token on."""
    hybrid = catalogue.architecture("Qwen3-Next-80B-A3B-Instruct")
    state = sum(c.layers * c.state for c in hybrid.caches())
    assert hybrid.kv_values(0) == state > 0
    assert hybrid.kv_values(1000) - state == pytest.approx(1000 * (hybrid.kv_values(1) - state))
