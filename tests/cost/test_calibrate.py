"""A CPU's peaks: measured once, kept whole, used where they were measured."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from eke.cost import calibration
from eke.cost.calibrate import _cores, cores
from eke.errors import EkeError, InputError
from eke.fleet.chip import Chip

BARE = Chip("intel-xeon-2c", "Intel", {}, 24e9, 0.0, kind="cpu", cores=2)
PROBE = cores._probe
HEAD = {"steps": 8, "cores": 2, "versions": {"python": "3", "numpy": "2", "torch": "2"}}


def _lines(*, failing: str = "") -> list[dict[str, Any]]:
    found = []
    for rate in (0.9, 1.0, 1.0, 5.0):
        for name, size in (("flops.fp32", 80e9), ("memory_bandwidth", 10e9), ("flops.bf16", 300e9)):
            for n in (1, 2):
                line: dict[str, Any] = {"name": name, "cores": n, "rate": size * n * rate}
                found.append({"name": name, "cores": n, "failed": "no such unit"} if name == failing else line)
    return found


@pytest.fixture
def probed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Measuring that takes no time; its list grows by one a measurement."""
    calls: list[int] = []

    def probe(progress: cores.Progress) -> list[dict[str, Any]]:
        calls.append(1)
        progress("all", 1.0)
        return [HEAD, *_lines()]

    monkeypatch.setattr(cores, "_probe", probe)
    return calls


def test_a_chip_gets_what_was_measured(probed: list[int]) -> None:
    """Medians over the rounds become peaks and bandwidth, each a figure with status `measured`."""
    chip = cores.ensure(BARE)
    assert chip.flops == {"fp32": 160e9, "bf16": 600e9}
    assert chip.memory_bandwidth == 20e9
    assert {f.status for f in chip.figures.values()} == {"measured"}
    assert "eke calibrate" in chip.figures["flops.fp32"].source


def test_measuring_happens_once(probed: list[int]) -> None:
    """The second time the file answers, with the same figures."""
    first = cores.ensure(BARE)
    assert cores.ensure(BARE).flops == first.flops
    assert len(probed) == 1


def test_the_file_says_where_when_and_how(probed: list[int], eke_home: Path) -> None:
    """Chip, host, date, versions, command and spread stand in the file; nothing half-written lies beside it."""
    cores.ensure(BARE)
    document = yaml.safe_load((eke_home / "profiles" / "intel-xeon-2c.yaml").read_text())
    assert {"format", "chip", "figures"} == set(document)
    assert {"host", "date", "versions", "command"} <= set(document["figures"])
    assert document["figures"]["values"]["flops.fp32"]["one_core"] == 80e9
    assert document["figures"]["values"]["flops.fp32"]["spread"] > 0
    assert [f.name for f in (eke_home / "profiles").iterdir()] == ["intel-xeon-2c.yaml"]


def test_a_failed_calibration_leaves_the_old_one(probed: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """When the measuring process dies, the error says so and the file is as it was."""
    cores.ensure(BARE)
    before = calibration.path(BARE.name).read_text()
    monkeypatch.setattr(cores, "_probe", PROBE)
    monkeypatch.setattr(cores, "COMMAND", (sys.executable, "-c", "raise SystemExit('no memory left')"))
    with pytest.raises(EkeError, match="status 1") as caught:
        cores.measure(BARE)
    assert "no memory left" in caught.value.why
    assert calibration.path(BARE.name).read_text() == before


def test_what_cannot_be_measured_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel the machine lacks is skipped with its reason; without fp32 there is no calibration."""
    monkeypatch.setattr(cores, "_probe", lambda progress: [HEAD, *_lines(failing="flops.bf16")])
    found = cores.measure(BARE)
    assert set(found.values) == {"flops.fp32", "memory_bandwidth"}
    assert found.skipped["flops.bf16"] == "no such unit"
    monkeypatch.setattr(cores, "_probe", lambda progress: [HEAD, *_lines(failing="flops.fp32")])
    with pytest.raises(EkeError, match=r"flops\.fp32"):
        cores.measure(BARE)


@pytest.mark.parametrize("damage", ["{", "format: other/1", "format: eke.calibration/2\nfigures: 3"])
def test_a_damaged_file_is_measured_again(probed: list[int], damage: str) -> None:
    """A file that is not a calibration is not used, and does not stop the user."""
    calibration.path(BARE.name).parent.mkdir(parents=True)
    calibration.path(BARE.name).write_text(damage)
    assert cores.ensure(BARE).flops
    assert len(probed) == 1


def test_another_machines_file_is_not_used(probed: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Copied from a host with another processor, the file is measured again here."""
    cores.ensure(BARE)
    monkeypatch.setattr(cores, "host_cpu", lambda: "another processor")
    assert cores.known(BARE) is None
    cores.ensure(BARE)
    assert len(probed) == 2


def test_known_chips_are_not_measured(probed: list[int], h100: Chip) -> None:
    """A chip with figures from the catalogue keeps them; an accelerator's cores are not measured."""
    assert cores.ensure(h100) is h100
    assert not probed
    with pytest.raises(InputError, match="is not a CPU"):
        cores.measure(h100)


def test_the_probe_measures_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run for real on tiny sizes, it yields positive rates for one core and for all, in rounds."""
    monkeypatch.setattr(_cores, "ROUNDS", 2)
    monkeypatch.setattr(_cores, "SECONDS", 0.005)
    monkeypatch.setattr(_cores, "GEMM_SIZE", 64)
    monkeypatch.setattr(_cores, "kernels", lambda: {"flops.fp32": _cores.sgemm})
    lines = list(_cores.measurements([0, 0]))
    assert [(line["name"], line["cores"]) for line in lines] == [("flops.fp32", 1), ("flops.fp32", 2)] * 2
    assert all(line["rate"] > 1e6 for line in lines)


def test_the_probe_stops_when_time_is_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine it makes do with fewer rounds, never fewer than enough."""
    monkeypatch.setattr(_cores, "BUDGET_S", 0.0)
    monkeypatch.setattr(_cores, "kernels", lambda: {"flops.fp32": lambda threads: (lambda: None, 1.0)})
    monkeypatch.setattr(_cores, "SECONDS", 0.001)
    assert len(list(_cores.measurements([0]))) == 2 * _cores.ENOUGH


def test_the_probe_goes_on_without_a_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel that raises yields its reason and is not tried again."""

    def broken(threads: int) -> Any:
        raise RuntimeError("no such instruction")

    monkeypatch.setattr(_cores, "kernels", lambda: {"flops.int8": broken})
    lines = list(_cores.measurements([0]))
    assert all("no such instruction" in line["failed"] for line in lines)
    assert len(lines) == 2


@pytest.mark.slow
def test_calibration_takes_less_than_its_patience() -> None:
    """The whole probe runs, says its steps first, and ends with status 0."""
    done = subprocess.run(
        [sys.executable, "-m", "eke.cost.calibrate._cores"], capture_output=True, text=True, timeout=120
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0
    assert _cores.ENOUGH * lines[0]["steps"] / _cores.ROUNDS < len(lines) <= lines[0]["steps"] + 1
