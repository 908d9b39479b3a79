from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from eke.cost import _probe, calibrate
from eke.errors import EkeError, InputError
from eke.fleet.chip import Chip

BARE = Chip("intel-xeon-2c", "Intel", {}, 24e9, 0.0, kind="cpu", cores=2)
HEAD = {"steps": 8, "cores": 2, "versions": {"python": "3", "numpy": "2", "torch": "2"}}


def _lines(*, failing: str = "") -> list[dict[str, Any]]:
    found = []
    for rate in (0.9, 1.0, 1.0, 5.0):
        for name, size in (("flops.fp32", 80e9), ("memory_bandwidth", 10e9), ("flops.bf16", 300e9)):
            for cores in (1, 2):
                line: dict[str, Any] = {"name": name, "cores": cores, "rate": size * cores * rate}
                found.append({"name": name, "cores": cores, "failed": "no such unit"} if name == failing else line)
    return found


@pytest.fixture
def probed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Measuring that takes no time; its list grows by one a measurement."""
    calls: list[int] = []

    def probe(progress: calibrate.Progress) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        calls.append(1)
        progress("all", 1.0)
        return HEAD, _lines()

    monkeypatch.setattr(calibrate, "_probe", probe)
    return calls


def test_a_chip_gets_what_was_measured(probed: list[int]) -> None:
    """Medians over the rounds become peaks and bandwidth, each a figure with status `measured`."""
    chip = calibrate.ensure(BARE)
    assert chip.flops == {"fp32": 160e9, "bf16": 600e9}
    assert chip.memory_bandwidth == 20e9
    assert {f.status for f in chip.figures.values()} == {"measured"}
    assert "eke calibrate" in chip.figures["flops.fp32"].source


def test_measuring_happens_once(probed: list[int]) -> None:
    """The second time the file answers, with the same figures; `force` measures again."""
    first = calibrate.ensure(BARE)
    assert calibrate.ensure(BARE).flops == first.flops
    assert len(probed) == 1
    calibrate.ensure(BARE, force=True)
    assert len(probed) == 2


def test_the_file_says_where_when_and_how(probed: list[int], eke_home: Path) -> None:
    """Chip, host, date, versions, command and spread stand in the file; nothing half-written lies beside it."""
    calibrate.ensure(BARE)
    document = yaml.safe_load((eke_home / "profiles" / "intel-xeon-2c.yaml").read_text())
    assert {"format", "chip", "host_cpu", "date", "versions", "command"} <= set(document)
    assert document["figures"]["flops.fp32"]["one_core"] == 80e9
    assert document["figures"]["flops.fp32"]["spread"] > 0
    assert [f.name for f in (eke_home / "profiles").iterdir()] == ["intel-xeon-2c.yaml"]


def test_a_failed_calibration_leaves_the_old_one(probed: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """When the measuring process dies, the error says so and the file is as it was."""
    calibrate.ensure(BARE)
    before = calibrate.path(BARE).read_text()
    monkeypatch.undo()
    monkeypatch.setattr(calibrate, "_COMMAND", (sys.executable, "-c", "raise SystemExit('no memory left')"))
    old = calibrate.path(BARE)
    old.parent.mkdir(parents=True, exist_ok=True)
    old.write_text(before)
    with pytest.raises(EkeError, match="status 1") as caught:
        calibrate.ensure(BARE, force=True)
    assert "no memory left" in caught.value.why
    assert calibrate.path(BARE).read_text() == before


def test_what_cannot_be_measured_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel the machine lacks is skipped with its reason; without fp32 there is no calibration."""
    monkeypatch.setattr(calibrate, "_probe", lambda progress: (HEAD, _lines(failing="flops.bf16")))
    found = calibrate.measure(BARE)
    assert set(found.figures) == {"flops.fp32", "memory_bandwidth"}
    assert found.skipped["flops.bf16"] == "no such unit"
    monkeypatch.setattr(calibrate, "_probe", lambda progress: (HEAD, _lines(failing="flops.fp32")))
    with pytest.raises(EkeError, match=r"flops\.fp32"):
        calibrate.measure(BARE)


@pytest.mark.parametrize("damage", ["{", "format: other/1", "format: eke.calibration/1\nfigures: 3"])
def test_a_damaged_file_is_measured_again(probed: list[int], damage: str) -> None:
    """A file that is not a calibration is not used, and does not stop the user."""
    calibrate.path(BARE).parent.mkdir(parents=True)
    calibrate.path(BARE).write_text(damage)
    assert calibrate.ensure(BARE).flops
    assert len(probed) == 1


def test_another_machines_file_is_not_used(probed: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Copied from a host with another processor, the file is measured again here."""
    calibrate.ensure(BARE)
    monkeypatch.setattr(calibrate, "host_cpu", lambda: "another processor")
    assert calibrate.load(BARE) is None
    calibrate.ensure(BARE)
    assert len(probed) == 2


def test_known_chips_are_not_measured(probed: list[int], h100: Chip) -> None:
    """A chip with figures from the catalogue keeps them; an accelerator without any cannot be measured yet."""
    assert calibrate.ensure(h100) is h100
    assert not probed
    with pytest.raises(InputError, match="cannot be calibrated"):
        calibrate.measure(h100)


def test_the_probe_measures_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run for real on tiny sizes, it yields positive rates for one core and for all, in rounds."""
    monkeypatch.setattr(_probe, "ROUNDS", 2)
    monkeypatch.setattr(_probe, "SECONDS", 0.005)
    monkeypatch.setattr(_probe, "GEMM_SIZE", 64)
    monkeypatch.setattr(_probe, "kernels", lambda: {"flops.fp32": _probe.sgemm})
    lines = list(_probe.measurements([0, 0]))
    assert [(line["name"], line["cores"]) for line in lines] == [("flops.fp32", 1), ("flops.fp32", 2)] * 2
    assert all(line["rate"] > 1e6 for line in lines)


def test_the_probe_stops_when_time_is_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine it makes do with fewer rounds, never fewer than enough."""
    monkeypatch.setattr(_probe, "BUDGET_S", 0.0)
    monkeypatch.setattr(_probe, "kernels", lambda: {"flops.fp32": lambda threads: (lambda: None, 1.0)})
    monkeypatch.setattr(_probe, "SECONDS", 0.001)
    assert len(list(_probe.measurements([0]))) == 2 * _probe.ENOUGH


def test_the_probe_goes_on_without_a_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel that raises yields its reason and is not tried again."""

    def broken(threads: int) -> Any:
        raise RuntimeError("no such instruction")

    monkeypatch.setattr(_probe, "kernels", lambda: {"flops.int8": broken})
    lines = list(_probe.measurements([0]))
    assert all("no such instruction" in line["failed"] for line in lines)
    assert len(lines) == 2


@pytest.mark.slow
def test_calibration_takes_less_than_its_patience() -> None:
    """The whole probe runs, says its steps first, and ends with status 0."""
    done = subprocess.run([sys.executable, "-m", "eke.cost._probe"], capture_output=True, text=True, timeout=120)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0
    assert _probe.ENOUGH * lines[0]["steps"] / _probe.ROUNDS < len(lines) <= lines[0]["steps"] + 1


def test_cores_together_do_no_more_than_each_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A disturbed measurement of all cores is not taken for a gain."""
    lines = [
        {"name": name, "cores": cores, "rate": 1e10 if cores == 1 else 5e10}
        for _ in range(3)
        for name in ("flops.fp32", "memory_bandwidth")
        for cores in (1, 2)
    ]
    monkeypatch.setattr(calibrate, "_probe", lambda progress: (HEAD, lines))
    assert calibrate.measure(BARE).figures["flops.fp32"].value == 2e10


def test_the_engine_is_measured_where_its_weights_are(probed: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Without weights it is skipped with what to do; once they are here the machine is measured again."""
    found = calibrate.measure(BARE)
    assert "eke models fetch" in found.skipped["llamacpp"]
    calibrate.save(found, calibrate.path(BARE))
    assert calibrate.load(BARE) == found
    program = (
        "import json; print(json.dumps({'steps': 2, 'cores': 1, 'versions': {}}))\n"
        "for name, rate in (('products', 3e10), ('weights', 1e10)) * 2:\n"
        "    print(json.dumps({'name': 'llamacpp.' + name, 'cores': 1, 'rate': rate}))"
    )
    monkeypatch.setattr(calibrate, "_ENGINE", (sys.executable, "-c", program))
    monkeypatch.setattr(calibrate, "_engine_weights", lambda: Path("weights.gguf"))
    assert calibrate.load(BARE) is None
    again = calibrate.measure(BARE)
    assert "llamacpp" not in again.skipped
    assert (again.figures["llamacpp.products"].value, again.figures["llamacpp.products"].one_core) == (6e10, 3e10)


def test_a_failing_engine_does_not_stop_the_calibration(probed: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Its fault is told; everything else is measured."""
    monkeypatch.setattr(calibrate, "_ENGINE", (sys.executable, "-c", "raise SystemExit('no such instruction')"))
    monkeypatch.setattr(calibrate, "_engine_weights", lambda: Path("weights.gguf"))
    found = calibrate.measure(BARE)
    assert "no such instruction" in found.skipped["llamacpp"]
    assert "flops.fp32" in found.figures
