"""The catalogue: every figure has a source, every chip is physically possible, every name means one chip."""

from __future__ import annotations

import csv
from collections import defaultdict
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from eke.errors import InputError, UnitError, UnknownName
from eke.figures import BITS, Status
from eke.fleet import catalogue
from eke.fleet.catalogue._read import vendor_entries
from eke.fleet.chip import Chip

CHIPS = list(catalogue.chips().values())
every_chip = pytest.mark.parametrize("chip", CHIPS, ids=lambda c: c.name)

# What a chip may have less of than its relative, because the export rules took it, and what they left alone.
EXPORT = {
    "A800-SXM": ("A100-SXM-80", {"scale_up"}),
    "H800-SXM": ("H100-SXM", {"scale_up"}),
    "H20-96": ("H100-SXM", {"flops"}),
    "L20": ("L40S", {"flops"}),
    "L2": ("L4", {"flops"}),
    "RTX-4090D": ("RTX-4090", {"flops"}),
    "RTX-5090D": ("RTX-5090", {"flops"}),
    "MI308X": ("MI300X", {"flops"}),
}
VENDORS = {
    "NVIDIA", "AMD", "Huawei", "Baidu", "Hygon", "Cambricon", "Enflame", "MetaX", "Moore Threads", "Iluvatar", "T-Head",
    "Tencent", "Biren", "Intel", "Google", "Amazon", "Meta",
}  # fmt: skip


def test_size() -> None:
    """At least 100 chips of all vendors."""
    assert len(CHIPS) >= 100
    assert {c.vendor for c in CHIPS} == VENDORS


@every_chip
def test_every_number_has_a_source(chip: Chip) -> None:
    """No number of a chip is without a figure of the same value, with a source and a known status."""
    numbers: dict[str, float | None] = {
        k: getattr(chip, k) for k in ("memory", "memory_bandwidth", "scale_up", "scale_out", "tdp")
    }
    numbers |= {f"flops.{p}": f for p, f in chip.flops.items()}
    numbers |= {"scale_up_chips": float(chip.scale_up_chips)} if chip.scale_up else {}
    assert {k: f.value for k, f in chip.figures.items()} == {k: v for k, v in numbers.items() if v is not None}
    assert all(f.source and f.status in get_args(Status) for f in chip.figures.values())


@every_chip
def test_estimates_and_measurements_say_why(chip: Chip) -> None:
    """What nobody printed carries a note on where it comes from."""
    assert [
        k for k, f in chip.figures.items() if f.status == "estimated" and not f.note and chip.vendor != "Hygon"
    ] == []


@every_chip
def test_is_physically_possible(chip: Chip) -> None:
    """Links are slower than memory, memory is read in 1 ms to 2 s, arithmetic is in proportion to both and to power."""
    peak = max(chip.flops.values())
    assert chip.scale_up is None or chip.scale_up <= chip.memory_bandwidth
    assert chip.scale_out is None or chip.scale_out <= (chip.scale_up or chip.memory_bandwidth) * 1.6
    assert 1e-3 < chip.memory / chip.memory_bandwidth < 2.0
    assert 1.0 < peak / chip.memory_bandwidth < 2500.0
    assert chip.tdp is None or 1e10 < peak / chip.tdp < 2e13
    assert 4e9 < chip.memory < 1e12


@every_chip
def test_fewer_bits_are_not_slower(chip: Chip) -> None:
    """Of floating-point precisions the one of fewer bits is at least as fast; fp16 and bf16 are alike within two."""
    ladder = [p for p in ("fp32", "tf32", "bf16", "fp8", "fp4") if p in chip.flops]
    peaks = [chip.flops[p] for p in ladder]
    assert peaks == sorted(peaks), dict(zip(ladder, peaks, strict=True))
    assert [BITS[p] for p in ladder] == sorted((BITS[p] for p in ladder), reverse=True)
    if {"fp16", "bf16"} <= chip.flops.keys():
        assert 0.5 <= chip.flops["bf16"] / chip.flops["fp16"] <= 1.0


@pytest.mark.parametrize("name", ["T4", "V100-SXM2-32", "V100-SXM2-16", "P100-PCIe-16", "Ascend-910A", "Kunlun-R200"])
def test_old_chips_have_no_bf16(name: str) -> None:
    """Volta, Turing, Pascal and the first Ascend and Kunlun have fp16 only."""
    assert "bf16" not in catalogue.chip(name).flops
    assert catalogue.chip(name).flops["fp16"] > 0


def test_ampere_has_no_fp8() -> None:
    """fp8 units came with Ada and Hopper."""
    assert not [c.name for c in CHIPS if c.architecture == "Ampere" and "fp8" in c.flops]
    assert not [c.name for c in CHIPS if c.architecture in ("Ada", "Hopper") and "fp8" not in c.flops]


@pytest.mark.parametrize("name", EXPORT)
def test_export_variants_differ_where_the_rules_cut(name: str) -> None:
    """An export variant is its relative less what was cut; the rest is the same."""
    parent, cut = EXPORT[name]
    chip, whole = catalogue.chip(name), catalogue.chip(parent)
    assert chip.relative == whole.name
    assert (chip.flops["bf16"] < whole.flops["bf16"]) is ("flops" in cut)
    assert ((chip.scale_up or 0) < (whole.scale_up or 0)) is ("scale_up" in cut)
    assert chip.memory_bandwidth >= whole.memory_bandwidth * 0.95


def test_known_traps() -> None:
    """Links are one way, consumer peaks are with FP32 accumulation, L40S is dense, BI-V150 is as measured."""
    one_way = {"A100-SXM-80": 300e9, "H100-SXM": 450e9, "H800-SXM": 200e9, "A800-SXM": 200e9, "H20-96": 450e9}
    assert {n: catalogue.chip(n).scale_up for n in one_way} == one_way
    assert catalogue.chip("RTX-4090").flops["bf16"] == 165e12
    assert catalogue.chip("RTX-3090").flops["bf16"] == 71e12
    assert catalogue.chip("L40S").flops["fp8"] == 733e12
    assert catalogue.chip("BI-V150").memory_bandwidth == 590e9
    assert catalogue.chip("MetaX-C500-PCIe").memory_bandwidth == 1.8e12


def test_relatives_exist_and_end() -> None:
    """Following relatives ends at a chip without one."""
    for chip in CHIPS:
        seen = [chip.name]
        while (relative := catalogue.chip(seen[-1]).relative) is not None:
            assert relative in catalogue.chips()
            assert relative not in seen
            seen.append(relative)


def test_names_are_looked_up_without_regard_to_case() -> None:
    """A name or an alias in any case is the same chip, and loading is done once."""
    assert catalogue.chip("h800") is catalogue.chip("H800-sxm") is catalogue.chips()["H800-SXM"]
    assert catalogue.chips() is catalogue.chips()


def test_unknown_name_offers_near_ones() -> None:
    """A name nobody knows is answered with the nearest; 910B without its variant is not a chip."""
    with pytest.raises(UnknownName) as e:
        catalogue.chip("Ascend-910B")
    assert "Ascend-910B2" in str(e.value)
    with pytest.raises(UnknownName, match="no chip is called 'quux'"):
        catalogue.chip("quux")


def test_two_chips_never_share_a_name() -> None:
    """An alias that names another chip is refused, whatever its case."""
    one = Chip("One", "v", {}, 1.0, 1.0, aliases=("first",))
    two = Chip("Two", "v", {}, 1.0, 1.0, aliases=("FIRST",))
    with pytest.raises(InputError, match="names both One and Two"):
        catalogue.index([one, two])


GOOD: dict[str, Any] = {
    "vendor": "Acme", "sources": {"sheet": "Acme datasheet"},
    "chips": {
        "A1": {
            "flops": {"bf16, fp16": ["100 TFLOPS", "sheet", "datasheet"]}, "memory": ["64 GB", "sheet", "datasheet"],
            "memory_bandwidth": ["2 TB/s", "sheet", "measured", "by us"],
            "scale_up": ["8 x 200 GB/s", "sheet", "secondary"],
        }
    },
}  # fmt: skip


def _with(key: str, value: object) -> dict[str, Any]:
    return GOOD | {"chips": {"A1": GOOD["chips"]["A1"] | {key: value}}}


def test_a_vendor_file_is_read() -> None:
    """One line may hold two precisions; a domain is its chips and their speed."""
    chip = vendor_entries(GOOD)[0].chip
    assert chip.flops == {"fp16": 1e14, "bf16": 1e14}
    assert (chip.scale_up_chips, chip.scale_up) == (8, 200e9)
    assert chip.figures["memory_bandwidth"].note == "by us"


def test_the_documented_example_is_read() -> None:
    """The vendor file that the documentation shows is one."""
    text = (Path(__file__).parents[2] / "docs" / "design" / "fleet.md").read_text("utf-8")
    entry = vendor_entries(yaml.safe_load(text.split("```yaml")[1].split("```")[0]))[0]
    assert (entry.chip.name, entry.chip.scale_up, entry.reported) == ("A1", 200e9, ("ACME A1",))


@pytest.mark.parametrize(
    ("document", "error", "says"),
    [
        (_with("memroy", 1), InputError, "unknown key 'memroy'"),
        (_with("memory", ["64 TFLOPS", "sheet", "datasheet"]), UnitError, "A1.memory"),
        (_with("memory", ["64 GB", "hearsay", "datasheet"]), InputError, "'hearsay'"),
        (_with("memory", ["64 GB", "sheet", "rumour"]), InputError, "'rumour'"),
        (_with("scale_up", ["200 GB/s", "sheet", "datasheet"]), InputError, "not a domain"),
        (_with("flops", {"fp12": ["1 TFLOPS", "sheet", "datasheet"]}), InputError, "'fp12' is not a precision"),
    ],
)
def test_mistakes_in_a_vendor_file_are_named(document: dict[str, Any], error: type[Exception], says: str) -> None:
    """A slip in a catalogue file names the chip and the key."""
    with pytest.raises(error, match=says):
        vendor_entries(document)


def test_scenarios_name_known_chips(shared_data: Path) -> None:
    """Every chip of the reference scenarios is in the catalogue by its very name."""
    named = set()
    for path in (shared_data.parent / "scenarios").glob("*.yaml"):
        fleet = yaml.safe_load(path.read_text())["fleet"]
        named |= {p["chip"] for p in fleet["pools"]} if fleet != "detect" else set()
    assert named
    assert named <= catalogue.chips().keys()


_FIELDS = {
    "memory": "memory", "mem_bw": "memory_bandwidth", "tdp": "tdp", "fp8": "flops.fp8", "int8": "flops.int8",
    "bf16_tensor": "flops.bf16",
}  # fmt: skip
_UNITS = {"TFLOPS": 1e12, "TOPS": 1e12, "GB": 1e9, "GB/s": 1e9, "W": 1.0}


def test_figures_lie_within_what_sources_say(shared_data: Path) -> None:
    """A figure outside the range of all claims on it has a note or is marked an estimate."""
    claims: dict[tuple[str, str], list[float]] = defaultdict(list)
    with (shared_data / "accelerators" / "claims.csv").open() as file:
        for row in csv.DictReader(file):
            if row["field"] in _FIELDS and row["unit"] in _UNITS and "-" not in row["value"]:
                claims[row["chip"], _FIELDS[row["field"]]].append(float(row["value"]) * _UNITS[row["unit"]])
    compared = 0
    for (name, key), values in claims.items():
        figure = catalogue.chips()[name].figures.get(key) if name in catalogue.chips() else None
        if figure is not None:
            compared += 1
            within = min(values) * 0.92 <= figure.value <= max(values) * 1.08  # GB and GiB differ by 7%
            assert within or figure.note, (name, key, figure.value, values)
    assert compared > 300
