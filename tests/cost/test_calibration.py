"""What was found out about a chip: kept whole, read back equal, used by every later prediction."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eke.cost import calibration, profile, trainers
from eke.cost.calibration import Calibration, Error, Fit
from eke.fleet import catalogue
from eke.fleet.chip import Chip

H20 = catalogue.chip("H20-96")


def _fit(coefficients: dict[str, Any], spread: float | None = None) -> Fit:
    return Fit("2026-11-22", "eke calibrate", {"torch": "2"}, 40, coefficients, {"gemm": Error(40, 0.2, 0.05)}, spread)


TIMED = _fit({"gemm": {"bf16": 0.91}, "memory": 0.7, "attention": 0.4})
LIVED = _fit({"memory": 0.65, "step_s": 0.004}, 0.07)

words = st.text(st.characters(categories=("L", "N", "P")), min_size=1)
names = st.sampled_from(["gemm", "memory", "step_s", "link_up"])
fits = st.builds(
    Fit, words, words, st.dictionaries(words, words, max_size=2), st.integers(0, 10**6),
    st.dictionaries(names, st.floats(1e-9, 1e3), max_size=3),
    st.dictionaries(words, st.builds(Error, st.integers(0, 99), st.floats(0, 9), st.floats(0, 9)), max_size=2),
    st.none() | st.floats(0.01, 1),
)  # fmt: skip


@given(kernels=st.none() | fits, serving=st.dictionaries(names, fits, max_size=2))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_saved_is_loaded(kernels: Fit | None, serving: dict[str, Fit], eke_home: Path) -> None:
    """A calibration comes back as it was, and nothing else lies in the folder."""
    saved = Calibration("H20-96", kernels=kernels, serving=serving)
    assert calibration.save(saved) == eke_home / "profiles" / "h20-96.yaml"
    calibration._read.cache_clear()  # two writes within the clock's resolution
    assert calibration.load("H20-96") == saved
    assert [f.name for f in (eke_home / "profiles").iterdir()] == ["h20-96.yaml"]


def test_a_failed_write_leaves_the_old_file(eke_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the disk is full half-way, the old file is as it was and no part lies about."""
    calibration.save(Calibration("H20-96", kernels=TIMED))

    def full(_fd: int) -> None:
        raise OSError("no space left")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="no space"):
        calibration.save(Calibration("H20-96"))
    assert calibration.load("H20-96") == Calibration("H20-96", kernels=TIMED)
    assert len(list((eke_home / "profiles").iterdir())) == 1


def test_kernels_timed_here_replace_what_is_shipped() -> None:
    """Shares of peak are the chip's own now, other precisions stay, the prediction says where it is from."""
    shipped = profile.find(H20, "vllm")
    calibration.save(Calibration("H20-96", kernels=TIMED))
    now = profile.find(H20, "vllm")
    assert (now.gemm["bf16"], now.memory, now.attention) == (0.91, 0.7, 0.4)
    assert now.gemm["fp8"] == shipped.gemm["fp8"]
    assert now.basis == "modelled"
    assert now.spread < shipped.spread  # its own shares now, no relative's
    assert "eke calibrate" in now.source
    assert profile.find(H20, "vllm", None) == shipped


def test_attention_fitted_to_whole_runs_stays() -> None:
    """Where runs of an engine on this chip were fitted, torch's attention says nothing of the engine's."""
    h100 = catalogue.chip("H100-SXM")
    shipped = profile.find(h100, "vllm")
    assert shipped.basis == "measured"
    calibration.save(Calibration(h100.name, kernels=TIMED))
    now = profile.find(h100, "vllm")
    assert now.memory == 0.7
    assert now.attention == shipped.attention
    assert now.basis == "measured"


def test_own_runs_come_last() -> None:
    """The user's serving runs of an engine win over kernels, for that engine only, and count as measured."""
    calibration.save(Calibration("H20-96", kernels=TIMED, serving={"vllm": LIVED}))
    vllm, sglang = profile.find(H20, "vllm"), profile.find(H20, "sglang")
    assert (vllm.memory, vllm.step_s, vllm.gemm["bf16"]) == (0.65, 0.004, 0.91)
    assert (vllm.basis, vllm.spread) == ("measured", 0.07)
    assert (sglang.memory, sglang.basis) == (0.7, "modelled")


def test_own_training_runs_are_used() -> None:
    """The user's training runs of a framework replace its coefficients on this chip."""
    calibration.save(Calibration("H20-96", training={"megatron": _fit({"gemm": {"bf16": 0.8}}, 0.06)}))
    now = trainers.find(H20, "megatron")
    assert (now.gemm["bf16"], now.basis, now.spread) == (0.8, "measured", 0.06)
    assert trainers.find(H20, "torchtitan").basis != "measured"


def test_relatives_are_not_touched() -> None:
    """A calibration is of its own chip: the H20 with other memory keeps what is shipped."""
    calibration.save(Calibration("H20-96", kernels=TIMED))
    other = replace(H20, name="H20-141")
    assert profile.find(other, "vllm").gemm["bf16"] != 0.91


def test_removing_brings_the_shipped_back() -> None:
    """After `remove`, predictions are as before; a second time there is nothing to remove."""
    shipped = profile.find(H20, "vllm")
    calibration.save(Calibration("H20-96", kernels=TIMED))
    assert calibration.every() == [Calibration("H20-96", kernels=TIMED)]
    assert calibration.remove("H20-96")
    assert profile.find(H20, "vllm") == shipped
    assert not calibration.remove("H20-96")


def test_a_copied_file_is_of_no_other_chip(eke_home: Path) -> None:
    """A file copied to another chip's name is not used for it."""
    calibration.save(Calibration("H20-96", kernels=TIMED))
    text = (eke_home / "profiles" / "h20-96.yaml").read_text()
    (eke_home / "profiles" / "l20.yaml").write_text(text)
    assert yaml.safe_load(text)["chip"] == "H20-96"
    assert calibration.load("L20") is None


def test_cpu_engines_fitted_by_hand_keep_their_shares(xeon: Chip) -> None:
    """On a CPU torch's kernels say nothing of llama.cpp's."""
    before = profile.find(xeon, "llamacpp")
    calibration.save(Calibration(xeon.name, kernels=_fit({"gemm": {"fp32": 0.2}, "pad_m": 99.0})))
    now = profile.find(xeon, "llamacpp")
    assert (now.gemm, now.pad_m) == (before.gemm, before.pad_m)
