from __future__ import annotations

from dataclasses import fields, replace
from math import exp
from pathlib import Path

import pytest
import yaml

from eke.cost import CostModel, Layouts, profile
from eke.cost.profile import slug, weaker
from eke.errors import InputError, UnknownName
from eke.fleet import catalogue
from eke.fleet.chip import Chip
from eke.models.architecture import Architecture
from eke.models.variant import Variant

SHIPPED = sorted(Path(profile.__file__).parent.joinpath("profiles").glob("*.yaml"))


@pytest.mark.parametrize(
    "file", [f for f in SHIPPED if f.stem not in ("default", "serving", "training")], ids=lambda f: f.stem
)
def test_shipped_profiles_say_where_they_come_from(file: Path) -> None:
    """Each is for a chip of the catalogue, under that chip's name, with a source, and complete over the default."""
    document = yaml.safe_load(file.read_text())
    assert catalogue.chip(document["chip"]).name == document["chip"]
    assert slug(document["chip"]) == file.stem
    assert len(document["source"]) > 20
    for engine in profile.engines():
        found = profile.find(catalogue.chip(document["chip"]), engine)
        assert found.basis in ("modelled", "measured")
        assert all(0 < share <= 1 for share in found.gemm.values())


@pytest.mark.parametrize("engine", profile.engines())
def test_every_chip_of_the_catalogue_has_a_profile(engine: str) -> None:
    """Whatever the chip, coefficients are found, and their basis is stated."""
    for chip in catalogue.chips().values():
        assert profile.find(chip, engine).basis in ("guessed", "modelled", "measured")


def test_a_relative_lends_shares_not_peaks() -> None:
    """An H800 without measurements borrows the H100's coefficients; one without any relative is guessed."""
    h100, h800 = catalogue.chip("H100-SXM"), catalogue.chip("H800-SXM")
    own, lent = profile.find(h100, "vllm"), profile.find(h800, "vllm")
    wider = {name: getattr(own, name) * profile.LENT for name in ("spread", "first_spread")}
    assert lent == replace(own, experts=lent.experts, chip=h800.name, basis="modelled", **wider)
    assert lent.basis == "modelled"
    assert lent.experts["fp8"] == own.experts["fp8"]
    assert profile.find(replace(h800, name="nobody's", relative=None), "vllm").basis == "guessed"


def test_grouped_products_lose_by_the_balance_of_a_chip() -> None:
    """H20 has a seventh of H100's peak and more bandwidth: what small tiles cost beyond arithmetic is a smaller share.

    DeepGEMM's grouped products in 8 bits reach 117 to 188 TFLOP/s there, at 32 to 160 tokens an expert
    (github.com/sgl-project/DeepGEMM/pull/11); loads in serving are less even.
    """
    h100, h20 = (profile.find(catalogue.chip(name), "sglang", own=None) for name in ("H100-SXM", "H20-96"))
    assert h100.experts["fp8"] < h20.experts["fp8"] < 1.0
    rate = catalogue.chip("H20-96").flops["fp8"] * h20.gemm["fp8"] * h20.experts["fp8"]
    assert 117e12 < rate < 212e12


def test_an_unknown_engine_family_is_named_with_the_known_ones(h100: Chip) -> None:
    """A misspelt engine is an input error that offers the right one."""
    with pytest.raises(UnknownName, match="vllm"):
        profile.find(h100, "vlm")


def test_unknown_coefficients_are_refused(h100: Chip) -> None:
    """A profile with a coefficient nobody knows, or without one, names it."""
    whole = {f: getattr(profile.find(h100, "vllm"), f) for f in profile.Profile.__slots__}
    with pytest.raises(InputError, match="gems"):
        profile.build(whole | {"gems": 1.0})
    del whole["memory"]
    with pytest.raises(InputError, match="memory"):
        profile.build(whole)


def test_the_interval_is_log_normal(h100: Chip) -> None:
    """80% of log-normal residuals: factors exp(±1.2816 σ), symmetric about one."""
    low, high = replace(profile.find(h100, "vllm"), spread=0.2).interval
    assert (low * high, high) == (pytest.approx(1.0), pytest.approx(exp(0.25632)))


def test_a_given_profile_is_used(llama_8b: Architecture, h100: Chip, bf16: Variant) -> None:
    """`profile=` replaces what would be found: half the memory efficiency, nearly twice the decode step."""
    found = profile.find(h100, "vllm")
    slow = replace(found, memory=found.memory / 2, attention_memory=found.attention_memory / 2, step_s=0.0)
    fast = replace(found, step_s=0.0)
    a, b = (CostModel(llama_8b, h100, bf16, profile=p).decode(Layouts.of(1), 1, 100).seconds[0] for p in (fast, slow))
    assert 1.6 < b / a < 2


def test_weaker_is_the_least_certain() -> None:
    """Measured and guessed together are guessed."""
    assert weaker("measured", "guessed", "modelled") == "guessed"
    assert weaker("measured", "modelled") == "modelled"


def test_the_less_is_known_the_wider_the_interval(h100: Chip) -> None:
    """Own coefficients, a relative's, nobody's: spreads grow in that order."""
    names = ("H100-SXM", "H800-SXM", "Ascend-910B3")
    spreads = [profile.find(catalogue.chip(name), "vllm").spread for name in names]
    assert spreads == sorted(set(spreads))


def test_a_coefficient_of_another_version_is_named_with_what_to_do(h100: Chip) -> None:
    """What was calibrated by a version that knew other coefficients says so, instead of being used in part."""
    values = {field.name: getattr(profile.find(h100, "vllm"), field.name) for field in fields(profile.Profile)}
    with pytest.raises(InputError, match="bunching unknown") as fault:
        profile.build({**values, "bunching": 0.6})
    assert "calibrate" in str(fault.value.remedy)
