"""NVIDIA's tool, in its three forms."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from eke.fleet.detect import _query, base, nvidia

MIB = 2**20
Sample = Callable[[str], str]


def test_query_follows_its_header(sample: Sample) -> None:
    """Quoted names keep their comma, N/A is unknown, MIG is told."""
    a, b, c = nvidia.parse(sample("nvidia_query.csv"))
    assert (a.name, a.memory_bytes, a.used_bytes, a.utilisation, a.temperature_c) == (
        "NVIDIA H800",
        81559 * MIB,
        1024 * MIB,
        0.35,
        41,
    )
    assert (b.name, b.utilisation, b.temperature_c, b.slices) == ("NVIDIA H800, OEM", None, None, 0)
    assert c.slices is None


def test_xml_knows_slices(sample: Sample) -> None:
    """A cut device has its slices counted, its memory is that of the whole."""
    a, b = nvidia.parse(sample("nvidia_q.xml"))
    assert (a.name, a.memory_bytes, a.utilisation, a.slices) == ("NVIDIA H20", 97871 * MIB, 0.07, 0)
    assert (b.memory_bytes, b.slices, b.temperature_c) == (97871 * MIB, 2, None)


def test_list_counts_slices(sample: Sample) -> None:
    """`-L` gives names, uuids and slices."""
    a, b = nvidia.parse(sample("nvidia_L.txt"))
    assert (a.slices, b.slices) == (0, 1)
    assert b.uuid == "GPU-bbbbbbbb-0000-0000-0000-000000000001"


def test_xml_is_asked_where_mig_is_on(sample: Sample) -> None:
    """The CSV cannot say into how many slices, so the XML is asked too."""
    answers = {"--query-gpu": "nvidia_query.csv", "-q": "nvidia_q.xml"}

    def run(command: base.Command) -> str | None:
        name = answers.get(command.argv[1].partition("=")[0])
        return sample(name) if name else None

    assert [d.slices for d in base.ask(nvidia, run)] == [0, 2]


def test_real_output(shared_data: Path) -> None:
    """Captures of others are read: A100 with MIG, A10G, T4, RTX 3090, `-L`, and quirky CSV."""
    folder = shared_data / "detect" / "nvidia"
    told = {f.name: nvidia.parse(f.read_text()) for f in folder.iterdir()}
    mig = told["telegraf_a100-sxm4-v12.xml"][0]
    assert (mig.name, mig.memory_bytes, mig.slices) == ("NVIDIA A100-SXM4-80GB", 81920 * MIB, 4)
    assert [d.slices for d in told["nvidia-smi_-L_H100x8_MIG.txt"]] == [7, 2]
    assert told["telegraf_tesla-t4.xml"][0].memory_bytes == 15360 * MIB
    assert [d.index for d in told["nvidia-smi_query_full_header.csv"]] == [0, 1]
    quirks = _query.rows(
        (folder / "nvidia-smi_query_quirks.csv").read_text(),
        ("index", "name", "utilization.gpu", "memory.used", "memory.total", "temperature.gpu", "power.draw"),
    )
    assert (quirks[1].name, quirks[1].used_bytes, quirks[1].memory_bytes) == ("NVIDIA GPU, PCIe", None, 40960 * MIB)
