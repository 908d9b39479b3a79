"""A list of nodes to pools."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eke.errors import InputError, UnitError
from eke.fleet import nodes
from eke.fleet.pool import Pool

Sample = Callable[[str], str]


def _told(pools: tuple[Pool, ...]) -> set[tuple[str, str, int, int]]:
    return {(p.name, p.chip.name, p.nodes, p.chips_per_node) for p in pools}


def test_columns_are_found_by_name_and_memory_tells_variants(sample: Sample) -> None:
    """Clusters stay apart, an H20 of 141 GiB is another chip, nodes without chips are counted and left out."""
    done = nodes.read(sample("nodes.csv"))
    assert _told(done.fleet.pools) == {
        ("east-h20-96", "H20-96", 1, 8), ("east-h20-141", "H20-141", 1, 8), ("west-h20-96", "H20-96", 1, 8),
    }  # fmt: skip
    assert {p.scale_out for p in done.fleet.pools} == {50e9}
    assert (done.nodes, done.without_chips) == (3, 1)


def test_a_row_a_chip() -> None:
    """Without a column of numbers every row is one chip of its node."""
    done = nodes.read("node;gpu\n" + "a;L20\n" * 4 + "b;L20\n" * 4 + "c;T4\n")
    assert _told(done.fleet.pools) == {("l20", "L20", 2, 4), ("t4", "T4", 1, 1)}


def test_a_column_may_be_named_and_words_may_be_mapped() -> None:
    """`--column` and `--map` say what names do not."""
    done = nodes.read("sku,gpu\nG2,8\ng2,4\n", {"G2": "A10"}, {"chip": "SKU"})
    assert _told(done.fleet.pools) == {("a10-x8", "A10", 1, 8), ("a10-x4", "A10", 1, 4)}


def test_bad_rows_are_told_together_with_their_lines() -> None:
    """All that is wrong is said at once, each cause with its lines, and a way out."""
    with pytest.raises(InputError) as e:
        nodes.read("node,gpu_model,gpus\na,L20,8\nb,Zeus,8\nc,Zeus,8\nd,L20,many\ne,L20\nf,,4\na,L20,8\n")
    assert e.value.what == "6 rows cannot be read; nothing was imported"
    assert "lines 3, 4: no chip is called 'Zeus'" in e.value.why
    assert "line 5: 'many' is not a number of chips" in e.value.why
    assert "line 6: 2 cells, the header has 3" in e.value.why
    assert "line 7: a number of chips, but not which" in e.value.why
    assert "line 8: node 'a' was there before, on line 2" in e.value.why
    assert "--map Zeus=CHIP" in e.value.remedy


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "empty"),
        ("node,gpus\n", "empty"),
        ("a,b\n1,2\n", "no column says which chip"),
        ("gpu,gpus\nL20,0\n", "no row has a chip"),
    ],
)
def test_lists_without_chips_are_refused(text: str, says: str) -> None:
    """An empty list, one without a column of chips and one without any chip are bad input."""
    with pytest.raises(InputError, match=says):
        nodes.read(text)


def test_a_bandwidth_needs_a_unit_that_is_one() -> None:
    """A wrong unit is a unit error of its row."""
    with pytest.raises(InputError, match="1 row cannot be read") as e:
        nodes.read("gpu,gpus,nic\nL20,8,400 parsecs\n")
    assert "'400 parsecs' is not a bandwidth" in e.value.why
    assert isinstance(e.value, InputError)
    assert not isinstance(e.value, UnitError)


def test_unknown_roles_and_columns_are_refused() -> None:
    """A role nobody knows, or a column that is not there, names those that are."""
    with pytest.raises(InputError, match="no column 'b' for 'chip'"):
        nodes.read("a\nL20\n", columns={"chip": "b"})
    with pytest.raises(InputError, match="for 'colour'"):
        nodes.read("a\nL20\n", columns={"colour": "a"})


@given(st.lists(st.tuples(st.sampled_from(["L20", "T4", "H800", "910B2"]), st.integers(0, 16)), min_size=1))
def test_no_chip_is_lost(rows: list[tuple[str, int]]) -> None:
    """Pools hold exactly the chips of the list."""
    text = "node,chip,count\n" + "".join(f"n{i},{chip},{count}\n" for i, (chip, count) in enumerate(rows))
    total = sum(count for _, count in rows)
    if total == 0:
        with pytest.raises(InputError):
            nodes.read(text)
        return
    done = nodes.read(text)
    assert sum(p.chips for p in done.fleet.pools) == total
    assert done.nodes + done.without_chips == len(rows)
    assert len({p.name for p in done.fleet.pools}) == len(done.fleet.pools)


def test_a_real_mixed_cluster(shared_data: Path) -> None:
    """The 1,213 nodes of a real cluster become its 12 kinds of pool, once its two masked kinds are named."""
    text = (shared_data / "clusters" / "alibaba_openb_gpu_nodes.csv").read_text()
    with pytest.raises(InputError, match="588 rows"):
        nodes.read(text)
    done = nodes.read(text, {"G2": "A10", "G3": "A100-SXM-80"})
    assert done.nodes == 1213
    assert sum(p.chips for p in done.fleet.pools) == 6212
    assert ("t4-x2", "T4", 387, 2) in _told(done.fleet.pools)
    assert ("a100-sxm-80", "A100-SXM-80", 39, 8) in _told(done.fleet.pools)
    assert len(done.fleet.pools) == 12
