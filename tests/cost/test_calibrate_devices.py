"""Chips measured through torch: the right one is found, kernels and links are timed for real on this CPU."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from eke.cost import profile
from eke.cost.calibrate import _process, devices, shares
from eke.cost.calibrate.coefficients import Coefficient, moved
from eke.cost.calibrate.devices import Place, Timings
from eke.errors import EkeError, InputError
from eke.fleet import catalogue
from eke.fleet.chip import Chip
from eke.fleet.detect.base import Device

H20, L20, B2 = (catalogue.chip(name) for name in ("H20-96", "L20", "Ascend-910B2"))


def _seen(monkeypatch: pytest.MonkeyPatch, *found: tuple[str, str, float]) -> None:
    """Torch sees these: its name of the device, the chip's name, GiB."""
    answer = [Device(n, name, size * 2**30, uuid=at) for n, (at, name, size) in enumerate(found)]
    monkeypatch.setattr(devices, "seen", lambda: answer)


def test_the_device_is_the_chip_that_the_tools_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch's name and memory say which catalogue chip it is; its like are its neighbours."""
    _seen(monkeypatch, ("cuda:0", "NVIDIA L20", 44.5), ("cuda:1", "NVIDIA H20", 95.6), ("cuda:2", "NVIDIA H20", 95.6))
    assert devices.find([L20, H20]) == Place(L20, ("cuda:0",))
    assert devices.find([L20, H20], "H20-96") == Place(H20, ("cuda:1", "cuda:2"))
    assert devices.find([L20, H20], device="cuda:2") == Place(H20, ("cuda:2", "cuda:1"))


def test_other_vendors_devices_are_found_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    """`npu` devices are chips as `cuda` ones are, also where torch's name for them says nothing."""
    _seen(monkeypatch, ("npu:0", "Ascend910B2", 64.0), ("npu:1", "Ascend910B2", 64.0))
    assert devices.find([B2]) == Place(B2, ("npu:0", "npu:1"))
    _seen(monkeypatch, ("npu:0", "Ascend-something", 64.0))
    assert devices.find([B2]).devices == ("npu:0",)


def test_a_die_is_half_a_chip(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where each die shows as a device, its peaks are its share of the chip's, and dies have no links to measure."""
    a3 = catalogue.chip("Ascend-910C")
    _seen(monkeypatch, ("npu:0", "Ascend910", a3.memory / 2**31), ("npu:1", "Ascend910", a3.memory / 2**31))
    place = devices.find([a3])
    assert place == Place(a3, ("npu:0", "npu:1"), 2)
    assert place.unit.flops["bf16"] == a3.flops["bf16"] / 2


@pytest.mark.parametrize(
    ("found", "wanted", "device", "says"),
    [
        ((), None, None, "no accelerator"),
        ((("cuda:0", "NVIDIA L20", 44.5),), None, None, "torch sees cuda:0 NVIDIA L20"),
        ((("cuda:0", "NVIDIA H20", 95.6),), "L20", None, "L20 is not in this machine"),
        ((("cuda:0", "NVIDIA H20", 95.6),), None, "cuda:7", "cuda:7"),
        ((("cuda:0", "NVIDIA H20", 95.6),), None, "cpu", "--device cpu"),
        ((("npu:0", "Ascend-something", 32.0),), None, None, "Ascend-something"),
    ],
)
def test_another_chip_is_refused(
    monkeypatch: pytest.MonkeyPatch,
    found: Sequence[tuple[str, str, float]],
    wanted: str | None,
    device: str | None,
    says: str,
) -> None:
    """Where torch and the tools disagree, or the chip is not here, nothing is measured; the error says what is seen."""
    _seen(monkeypatch, *found)
    with pytest.raises(InputError, match=says) as caught:
        devices.find([H20], wanted, device)
    assert caught.value.remedy


def _lines(chip: Chip, truth: Any, noise: float = 0.0) -> list[dict[str, Any]]:
    """Timings as `chip` would give them, were `truth` its profile."""
    shapes = [(m, n, k) for m in (1, 16, 128, 1024, 8192) for n, k in ((1024, 4096), (4096, 4096), (8192, 8192))]
    lines: list[dict[str, Any]] = [
        {"what": "gemm", "precision": p, "m": m, "n": n, "k": k} for p in ("bf16", "fp8") for m, n, k in shapes
    ]
    lines += [{"what": "stream", "bytes": 2.0**s} for s in (24, 26, 28, 30)]
    head = {"precision": "bf16", "heads": 32, "head_dim": 128}
    lines += [{"what": "prefill", **head, "tokens": t} for t in (512, 2048, 8192, 32768)]
    cache = {"cache_bytes_per_token": 4096}
    lines += [
        {"what": "decode", **head, "sequences": s, "context": c, **cache}
        for s, c in ((1, 8192), (8, 8192), (64, 4096), (1, 131072))
    ]
    lines += [{"what": "all-reduce", "ranks": r, "bytes": 2.0**s} for r in (2, 8) for s in (13, 17, 21, 25, 28)]
    seconds = shares._predicted(shares._machine(chip, truth), lines)
    factors = np.exp(noise * np.random.default_rng(7).standard_normal(len(lines)))
    return [line | {"seconds": float(s)} for line, s in zip(lines, seconds * factors, strict=True)]


@pytest.mark.parametrize("noise", [0.0, 0.03])
def test_the_fit_finds_what_made_the_timings(noise: float) -> None:
    """Timings made by the cost model with other coefficients give those coefficients back."""
    shipped = profile.find(H20, "vllm")
    changes = {"memory": 0.85, "attention": 0.6, "attention_memory": 1.2, "link_up": 0.7, "latency_up_s": 2.0}
    truth = moved(shipped, [Coefficient("gemm", "bf16"), *map(Coefficient, changes)], np.log([0.8, *changes.values()]))
    found = shares.fit(
        Place(H20, ("cuda:0",)), shipped, Timings(_lines(H20, truth, noise), [], {"torch": "2"}), "eke calibrate"
    )
    for name in changes:
        assert found.coefficients[name] == pytest.approx(getattr(truth, name), rel=0.05 + 4 * noise), name
    assert found.coefficients["gemm"]["bf16"] == pytest.approx(truth.gemm["bf16"], rel=0.05 + noise)
    assert all(e.after < max(e.before, 0.01) and e.after < 0.03 + noise for e in found.errors.values())


def test_a_chip_cannot_beat_its_peaks() -> None:
    """Timings of an H100 are refused for an H20: products run at twice its peak."""
    h100 = catalogue.chip("H100-SXM")
    lines = _lines(h100, profile.find(h100, "vllm", None))
    with pytest.raises(InputError, match="not a H20-96"):
        shares.fit(Place(H20, ("cuda:0",)), profile.find(H20, "vllm", None), Timings(lines, [], {}), "eke calibrate")


def test_too_few_timings_are_refused() -> None:
    """With no time for products nothing is fitted, and the message says what to do."""
    lines = [line for line in _lines(H20, profile.find(H20, "vllm")) if line["what"] != "gemm"]
    with pytest.raises(EkeError, match="0 matrix products") as caught:
        shares.fit(
            Place(H20, ("cuda:0",)),
            profile.find(H20, "vllm"),
            Timings(lines, [{"what": "launch", "failed": "no time"}], {}),
            "x",
        )
    assert "--seconds" in caught.value.remedy


def test_kernels_the_host_holds_up_are_left_out() -> None:
    """A kernel as short as a launch tells of the host, not of the chip."""
    lines = _lines(H20, profile.find(H20, "vllm"))
    slow = [{"what": "launch", "seconds": max(line["seconds"] for line in lines if line["what"] == "gemm")}]
    with pytest.raises(EkeError, match="matrix products"):
        shares.fit(Place(H20, ("cuda:0",)), profile.find(H20, "vllm"), Timings(lines + slow, [], {}), "x")


def test_kernels_are_timed_on_this_cpu(xeon: Chip, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same code as on any device, run here on small shapes: every kind of kernel yields seconds that make sense."""
    pytest.importorskip("torch", exc_type=ImportError)
    import torch

    from eke.cost.calibrate import _device, _kernels

    monkeypatch.setattr(_device, "ROUND_S", 0.002)
    monkeypatch.setattr(_kernels, "COLD_CPU_BYTES", 4e6)
    threads = torch.get_num_threads()
    device = _device.Device("cpu")
    todo = [
        _kernels.launch(), _kernels.stream(2**20), _kernels.prefill("fp32", 64), _kernels.decode("fp32", 2, 128),
        *(_kernels.gemm(p, m, 128, 256) for p in ("fp32", "bf16", "int8") for m in (64, 256)),
    ]  # fmt: skip
    lines = list(_kernels.measurements(device, todo, 20.0))
    torch.set_num_threads(threads)
    assert all("failed" not in line for line in lines), lines
    assert {line["what"] for line in lines} == {"launch", *shares.KINDS[:4]}
    assert all(line["seconds"] > 0 and line["rounds"] >= _device.LEAST for line in lines)
    predicted = shares._predicted(shares._machine(xeon.core(), profile.find(xeon, "vllm")), lines[1:])
    assert np.isfinite(predicted).all()


def test_what_a_device_cannot_do_is_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first failure of a kind takes the kind out; what would take too long, or has no time left, is said."""
    pytest.importorskip("torch", exc_type=ImportError)
    from eke.cost.calibrate import _device, _kernels

    tried: list[int] = []

    def broken(_device: Any) -> Any:
        tried.append(1)
        raise RuntimeError("no such unit")

    step = replace(_kernels.gemm("fp8", 64, 64, 64), make=broken)
    device = _device.Device("cpu")
    lines = list(_kernels.measurements(device, [step, step], 10.0))
    assert [line["failed"] for line in lines] == ["RuntimeError: no such unit"] * 2
    assert tried == [1]
    huge = replace(_kernels.launch(), work=1e30)
    lines = list(_kernels.measurements(device, [_kernels.launch(), huge], 10.0))
    assert "would take" in lines[1]["failed"]
    assert [line["failed"] for line in _kernels.measurements(device, [step], -1.0)] == ["no time left"]


@pytest.mark.slow
def test_links_are_timed_between_two_processes() -> None:
    """Two processes with gloo on this machine: all-reduces of growing size take growing time."""
    pytest.importorskip("torch", exc_type=ImportError)
    lines = devices._links(("cpu", "cpu"), lambda _what, _done: None)
    assert all(line["what"] == "all-reduce" and line["ranks"] == 2 for line in lines), lines
    sizes = [line["bytes"] for line in lines]
    assert sizes == sorted(sizes)
    assert lines[-1]["seconds"] > lines[0]["seconds"]


def test_links_that_cannot_be_measured_lose_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the vendor's collectives fail, one line says why."""
    monkeypatch.setattr(_process, "python", lambda *_words: (sys.executable, "-c", "raise SystemExit('no fabric')"))
    (line,) = devices._links(("cuda:0", "cuda:1"), lambda _what, _done: None)
    assert "no fabric" in line["failed"]


def test_a_process_that_hangs_is_ended() -> None:
    """A driver that never answers costs its patience, not the user's day."""
    began = time.monotonic()
    with pytest.raises(EkeError, match="took longer than"):
        list(_process.lines([(sys.executable, "-c", "import time; time.sleep(60)")], 0.5))
    assert time.monotonic() - began < 30


def test_the_measuring_process_is_told_what_the_chip_has(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only precisions with a peak are measured; attention runs in 16 bits, or what comes nearest."""
    asked: list[Sequence[str]] = []

    def lines(commands: Sequence[Sequence[str]], *_rest: Any) -> list[Mapping[str, Any]]:
        asked.append(commands[0])
        return [{"steps": 1, "versions": {"torch": "2"}}, {"what": "launch", "seconds": 1e-6}]

    monkeypatch.setattr(_process, "lines", lines)
    v100 = catalogue.chip("V100-SXM2-32")
    found = devices.measure(Place(v100, ("cuda:0",)), 60.0, lambda _what, _done: None)
    words = dict(zip(asked[0][3::2], asked[0][4::2], strict=True))
    assert set(words["--precisions"].split(",")) == set(devices.PRECISIONS) & set(v100.flops)
    assert words["--attention"] == "fp16"
    assert found.versions == {"device": "cuda:0", "torch": "2"}
    assert math.isclose(found.lines[0]["seconds"], 1e-6)
