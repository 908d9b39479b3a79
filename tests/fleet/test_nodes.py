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
    assert {p.scale_out for p in done.fleet.pools} == {50e9 / 8}
    (note,) = done.notes
    assert "NIC was read as what a whole node has" in note
    assert "--column scale_out=NIC" in note
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


@pytest.mark.parametrize(
    ("column", "cell", "each"),
    [
        ("nic", "25 Gb/s", 25e9 / 8 / 8),
        ("Network", "25 Gb/s", 25e9 / 8 / 8),
        ("network bandwidth", "8 x 400 Gb/s", 50e9),
        ("scale_out", "25 Gb/s", 25e9 / 8),
        ("nic per gpu", "25 Gb/s", 25e9 / 8),
    ],
)
def test_a_nodes_network_is_shared_by_its_chips(column: str, cell: str, each: float) -> None:
    """25 Gb/s of a node of eight is 3.1 Gb/s a chip; only a column that says so is a chip's own, and has no note."""
    done = nodes.read(f"node,gpu,gpus,{column}\na,L20,8,{cell}\nb,L20,8,{cell}\n")
    (pool,) = done.fleet.pools
    assert pool.scale_out == pytest.approx(each)
    assert bool(done.notes) == ("out" not in column and "per" not in column)
    rows = "\n".join(["node,gpu," + column, *[f"a,L20,{cell}"] * 8])
    assert nodes.read(rows).fleet.pools[0].scale_out == pytest.approx(each)  # a row a chip


def test_a_network_may_be_a_name() -> None:
    """Words under `network` are pools, not bandwidths."""
    done = nodes.read("node,gpu,gpus,network\na,L20,8,east\nb,L20,8,west\n")
    assert {p.name for p in done.fleet.pools} == {"east-l20", "west-l20"}
    assert done.notes == ()


def test_a_bandwidth_without_a_unit_is_refused() -> None:
    """25 of what? Bytes a second, which nobody means."""
    with pytest.raises(InputError) as e:
        nodes.read("gpu,gpus,nic\nL20,8,25\n")
    assert "'25' has no unit" in e.value.why
    assert "25 Gb/s" in e.value.remedy


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
