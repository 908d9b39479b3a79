"""A fleet as text, and back."""

from __future__ import annotations

from eke.fleet import catalogue
from eke.fleet.detect import cpu, mock
from eke.fleet.pool import Fleet, Link, Pool
from eke.fleet.section import section


def test_only_what_differs_from_the_default_is_written() -> None:
    """A pool is its name, chip and nodes; the rest where it is not the default; networks in bits."""
    pool = Pool("h20", catalogue.chip("H20"), 4, 8, scale_out=50e9, available=0.9, reserved=1)
    plain = Pool("l20", catalogue.chip("L20"), 2)
    assert section(Fleet((pool, plain), (Link(("h20", "l20"), 12.5e9),))) == {
        "pools": [
            {"name": "h20", "chip": "H20-96", "nodes": 4, "chips_per_node": 8,
             "scale_out": "400 Gb/s", "available": 0.9, "reserved": 1},
            {"name": "l20", "chip": "L20", "nodes": 2, "chips_per_node": 8},
        ],
        "links": [{"between": ["h20", "l20"], "bandwidth": "100 Gb/s"}],
    }  # fmt: skip


def test_a_cpu_is_detected_again() -> None:
    """What a CPU can do is measured where it stands, so its section says `detect`."""
    assert section(cpu.fleet()) == "detect"


def test_the_mock_cluster_is_mixed() -> None:
    """The made-up cluster has chips of several kinds."""
    document = section(mock.fleet())
    assert isinstance(document, dict)
    assert {p["chip"] for p in document["pools"]} >= {"H800-SXM", "L20", "Ascend-910B2"}
