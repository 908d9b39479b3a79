"""Variants: what they weigh, what they keep of the quality, and who says so."""

from __future__ import annotations

import pytest

from eke.models import catalogue
from eke.models.variant import variants


@pytest.mark.parametrize("name", catalogue.names())
def test_every_quality_has_a_source(name: str) -> None:
    """No bare number; nothing better than the original; fewer bits never weigh more."""
    found = variants(catalogue.architecture(name))
    assert found
    for key, variant in found.items():
        assert key == variant.name
        assert 4.0 <= variant.weight_bits <= 16.0
        if variant.quality is not None:
            assert 0.8 < variant.quality.value <= 1.0
            assert variant.quality.source


def test_the_published_precision_is_whole() -> None:
    """A model published in fp8 or fp4 has lost nothing in it, nor in bf16."""
    for name, native in (("DeepSeek-V3", "fp8"), ("gpt-oss-120b", "fp4"), ("Kimi-K2.5", "int4"), ("Qwen3-8B", "bf16")):
        found = variants(catalogue.architecture(name))
        for form in (native, "bf16"):
            quality = found[form].quality
            assert quality is not None
            assert (quality.value, quality.status) == (1.0, "datasheet")


def test_fp4_only_where_published_so() -> None:
    """Eke offers no fp4 of a model that was not made for it."""
    assert "fp4" not in variants(catalogue.architecture("Qwen3-8B"))
    assert "fp4" in variants(catalogue.architecture("gpt-oss-20b"))


def test_a_measured_figure_is_the_ratio_of_published_scores() -> None:
    """Hunyuan-A13B in int4: (82.7 + 86.7 + 91.1) / (82.7 + 87.3 + 91.1), by its maker."""
    quality = variants(catalogue.architecture("Hunyuan-A13B-Instruct"))["int4"].quality
    assert quality is not None
    assert quality.value == pytest.approx(260.5 / 261.1)
    assert quality.status == "measured"
    assert "AngelSlim" in quality.source


def test_benchmarks_that_one_precision_lacks_do_not_count() -> None:
    """Qwen3-4B's int4 has no HumanEval: the other three are compared."""
    quality = variants(catalogue.architecture("Qwen3-4B"))["int4"].quality
    assert quality is not None
    assert quality.value == pytest.approx((70.06 + 68.59 + 81.65) / (72.66 + 69.99 + 85.37))
    assert "HumanEval" not in quality.note


def test_a_borrowed_figure_says_so_and_is_the_lowest() -> None:
    """ERNIE-21B was not measured in int8: it gets the worst of its size, as an estimate."""
    quality = variants(catalogue.architecture("ERNIE-4.5-21B-A3B"))["int8"].quality
    measured = [variants(catalogue.architecture(n))["int8"].quality for n in ("Qwen3-14B", "Qwen3-30B-A3B")]
    assert quality is not None
    assert quality.status == "estimated"
    assert quality.value == min(m.value for m in measured if m)
    assert "Qwen3-14B" in quality.note


def test_small_models_borrow_from_nobody_smaller() -> None:
    """Nothing near five million parameters was ever measured: unknown stays None."""
    found = variants(catalogue.architecture("tiny"))
    assert found["int4"].quality is None


def test_brought_weights_exist_in_one_form() -> None:
    """The embedded model is the file that is fetched, nothing else."""
    assert list(variants(catalogue.architecture("embedded"))) == ["int4"]


def test_gemma_is_not_said_to_work_in_fp16() -> None:
    """Its activations overflow there; nobody published otherwise."""
    assert variants(catalogue.architecture("Gemma-3-27B"))["fp16"].quality is None
