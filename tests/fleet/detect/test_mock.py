"""The made-up cluster."""

from __future__ import annotations

import pytest

from eke.errors import InputError, UnknownName
from eke.fleet.detect import mock


def test_a_cluster_is_described_in_one_line() -> None:
    """`chip=NODESxCHIPS`, several with commas; `1` is the mixed one."""
    pools = mock.fleet("H800=4x8, L20=2x4").pools
    assert [(p.name, p.nodes, p.chips_per_node) for p in pools] == [("h800-sxm", 4, 8), ("l20", 2, 4)]
    assert len(mock.fleet("1").pools) == 5
    assert [d.name for d in mock.parse("L20=2x2")] == ["L20", "L20"]


def test_mistakes_are_named() -> None:
    """A wrong form and an unknown chip are bad input."""
    with pytest.raises(InputError, match="'H800' is not chip=NODESxCHIPS"):
        mock.fleet("H800")
    with pytest.raises(UnknownName):
        mock.fleet("Zeus=1x1")
