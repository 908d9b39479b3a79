"""The CPU as a chip."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from eke.fleet.detect import cpu


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("Intel(R) Xeon(R) Processor", "intel-xeon"),
        ("Intel(R) Xeon(R) Platinum 8358 CPU @ 2.60GHz", "intel-xeon-platinum-8358"),
        ("AMD EPYC 7763 64-Core Processor", "amd-epyc-7763"),
        ("Hygon C86 7390 32-core Processor", "hygon-c86-7390"),
        ("", "cpu"),
    ],
)
def test_names_become_short(name: str, slug: str) -> None:
    """Trade marks, clock rates and the number of cores are left out of the name."""
    assert cpu.slug(name) == slug


def test_a_cpu_is_a_chip_without_figures(sample: Callable[[str], str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Name and maker from the system; no FLOP/s and no bandwidth before they are measured."""
    monkeypatch.setattr(cpu, "cores", lambda: 6)
    chip = cpu.chip(sample("cpuinfo.txt"))
    assert (chip.name, chip.vendor, chip.kind, chip.cores) == ("hygon-c86-7390-6c", "Hygon", "cpu", 6)
    assert (chip.flops, chip.memory_bandwidth) == ({}, 0.0)
    assert chip.memory > 0


def test_affinity_limits_cores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cores that this process may not run on are not counted."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {3, 5, 7}, raising=False)
    assert cpu.cores(tmp_path) == 3


@pytest.mark.parametrize(
    ("quota", "cores"), [("250000 100000", 2), ("50000 100000", 1), ("max 100000", 8), ("9900000 100000", 8)]
)
def test_quota_limits_cores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quota: str, cores: int) -> None:
    """A control group's quota counts in whole cores, at least one; `max` is no limit."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    (tmp_path / "cpu.max").write_text(quota)
    assert cpu.cores(tmp_path) == cores


def test_the_older_control_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Version 1 keeps quota and limit in files of other names."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text("300000\n")
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    (tmp_path / "memory").mkdir()
    (tmp_path / "memory" / "memory.limit_in_bytes").write_text(f"{2**30}\n")
    assert cpu.cores(tmp_path) == 3
    assert cpu.memory_bytes(tmp_path) == 2**30


def test_memory_limit(tmp_path: Path) -> None:
    """A container's memory limit is the machine's memory; `max` is none."""
    (tmp_path / "memory.max").write_text("max")
    whole = cpu.memory_bytes(tmp_path)
    (tmp_path / "memory.max").write_text(str(2**30))
    assert cpu.memory_bytes(tmp_path) == 2**30 < whole


def test_this_machine_is_one_pool() -> None:
    """One node, one chip, as many cores as this process may use."""
    (pool,) = cpu.fleet().pools
    assert (pool.name, pool.nodes, pool.chips_per_node) == ("this-machine", 1, 1)
    assert 1 <= pool.chip.cores <= (os.cpu_count() or 1)
