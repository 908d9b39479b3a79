"""Quantities read as people write them, and are refused with an example that works."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eke import units
from eke.errors import UnitError


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("bytes", "80 GB", 80e9),
        ("bytes", "24 GiB", 24 * 2**30),
        ("bytes_per_s", "3.35 TB/s", 3.35e12),
        ("bytes_per_s", "400 Gb/s", 50e9),
        ("bytes_per_s", "400 GB/s", 400e9),
        ("bytes_per_s", "200 Gbps", 25e9),
        ("flop_per_s", "989 TFLOPS", 989e12),
        ("flop_per_s", "300 TOPS", 300e12),
        ("watts", "300 W", 300),
        ("tokens", "15T", 15e12),
        ("tokens", "15e12", 15e12),
        ("tokens", "8M", 8e6),
        ("seconds", "50 ms", 0.05),
        ("seconds", "36 h", 129600),
        ("seconds", "400 kh", 400e3 * 3600),
        ("seconds", "6 mo", 6 * 365.25 / 12 * 86400),
        ("per_s", "40/min", 40 / 60),
        ("fraction", "7%", 0.07),
        ("fraction_per_s", "6%/y", 0.06 / (365.25 * 86400)),
    ],
)
def test_the_documented_forms_read(kind: str, text: str, value: float) -> None:
    """Each form that the scenario format promises gives its base unit."""
    assert units.read(kind, text) == pytest.approx(value)


@pytest.mark.parametrize(("kind", "value"), [("bytes", "80"), ("seconds", 3), ("per_s", "0.5")])
def test_a_bare_number_is_in_the_base_unit(kind: str, value: object) -> None:
    """Without a unit, a number stands for itself."""
    assert units.read(kind, value) == float(value)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "value"),
    [("bytes_per_s", "80 GB"), ("bytes", "80 GB/s"), ("seconds", "3/s"), ("tokens", "many"), ("watts", None),
     ("fraction", True), ("bytes", "")],
)  # fmt: skip
def test_another_kind_of_unit_is_refused_by_name(kind: str, value: object) -> None:
    """A wrong unit names the key and the value, and offers an example that reads."""
    with pytest.raises(UnitError) as caught:
        units.read(kind, value, "fleet.pools.0.scale_out")
    assert "fleet.pools.0.scale_out" in caught.value.what
    assert repr(value) in caught.value.what
    example = (
        caught.value.remedy.removeprefix("fleet.pools.0.scale_out: ").split(" or ")[0].split(" (")[0].split(",")[0]
    )
    units.read(kind, example)


@given(st.floats(min_value=1e-3, max_value=1e18), st.sampled_from(["bytes", "bytes_per_s", "flop_per_s"]))
def test_what_is_shown_reads_back(value: float, kind: str) -> None:
    """Printing and reading agree to the three digits that are printed."""
    shown = getattr(units, f"show_{kind}")(value)
    assert units.read(kind, shown) == pytest.approx(value, rel=6e-3)


@given(st.floats(min_value=1e-5, max_value=1e9))
def test_durations_read_back(value: float) -> None:
    """A printed duration is within its printed digits."""
    assert units.read("seconds", units.show_seconds(value)) == pytest.approx(value, rel=6e-3)
