"""`eke fleet`."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from eke.cli.fleet import app
from eke.errors import InputError, UnknownName

runner = CliRunner()


def _out(*argv: str) -> str:
    done = runner.invoke(app, argv, catch_exceptions=False)
    assert done.exit_code == 0
    return done.stdout


def test_chips_in_every_form() -> None:
    """The same chips as table, JSON, CSV and YAML."""
    document = json.loads(_out("chips", "-o", "json"))
    assert document["format"] == "eke.chips/1"
    names = [c["name"] for c in document["chips"]]
    assert [r["chip"] for r in csv.DictReader(io.StringIO(_out("chips", "-o", "csv")))] == names
    assert [c["name"] for c in yaml.safe_load(_out("chips", "-o", "yaml"))["chips"]] == names
    assert {r["vendor"] for r in csv.DictReader(io.StringIO(_out("chips", "--vendor", "baidu", "-o", "csv")))} == {
        "Baidu"
    }
    assert "Kunlun" in _out("chips", "--vendor", "baidu")


def test_one_chip_shows_where_each_figure_is_from() -> None:
    """Every figure with value, source, status and note."""
    document = json.loads(_out("chips", "h800", "-o", "json"))
    assert (document["format"], document["name"]) == ("eke.chip/1", "H800-SXM")
    assert document["figures"]["scale_up"]["note"].startswith("NVLink total is 400")
    table = _out("chips", "h800")
    assert "989 TFLOPS" in table
    assert "estimated" in table


def test_unknown_names_are_bad_input() -> None:
    """A chip or a maker nobody knows."""
    for argv in (["chips", "H900"], ["chips", "--vendor", "Zeus"]):
        with pytest.raises(UnknownName):
            runner.invoke(app, argv, catch_exceptions=False)


def test_detect_mock() -> None:
    """The made-up cluster, as the section of a scenario and as JSON with its digest."""
    pools = yaml.safe_load(_out("detect", "--mock", "-o", "yaml"))["fleet"]["pools"]
    assert {"name": "l20", "chip": "L20", "nodes": 2, "chips_per_node": 8} in pools
    document = json.loads(_out("detect", "--mock", "-o", "json"))
    assert document["format"] == "eke.fleet/1"
    assert len(document["digest"]) == 16


def test_import_prints_a_section(tmp_path: Path) -> None:
    """A list of nodes becomes the `fleet:` section; talk does not mix with it."""
    (tmp_path / "nodes.csv").write_text("node,gpu,gpus\na,G2,8\nb,G2,8\n")
    text = _out("import", str(tmp_path / "nodes.csv"), "--map", "G2=A10")
    assert yaml.safe_load(text) == {
        "fleet": {"pools": [{"name": "a10", "chip": "A10", "nodes": 2, "chips_per_node": 8}]}
    }


def test_import_writes_whole_or_not_at_all(tmp_path: Path) -> None:
    """A list with a bad row leaves what was there; a good one replaces it, and nothing else is left behind."""
    source, target = tmp_path / "nodes.csv", tmp_path / "fleet.yaml"
    target.write_text("before")
    source.write_text("node,gpu,gpus\na,L20,8\nb,Zeus,8\n")
    with pytest.raises(InputError, match="nothing was imported"):
        runner.invoke(app, ["import", str(source), "--save", str(target)], catch_exceptions=False)
    assert target.read_text() == "before"
    source.write_text("node,gpu,gpus\na,L20,8\n")
    assert _out("import", str(source), "--save", str(target)) == ""
    assert "chip: L20" in target.read_text()
    assert sorted(p.name for p in tmp_path.glob("*.*")) == ["fleet.yaml", "nodes.csv"]


@pytest.mark.parametrize(("argv", "says"), [(["--map", "G2"], "is not NAME=VALUE"), ([], "cannot be read")])
def test_import_mistakes(tmp_path: Path, argv: list[str], says: str) -> None:
    """A map without its value, and a file that is not there."""
    path = tmp_path / "nodes.csv"
    if argv:
        path.write_text("gpu,gpus\nL20,8\n")
    with pytest.raises(InputError, match=says):
        runner.invoke(app, ["import", str(path), *argv], catch_exceptions=False)


def test_import_a_real_cluster(shared_data: Path) -> None:
    """The 1,213 nodes of a real cluster."""
    nodes = shared_data / "clusters" / "alibaba_openb_gpu_nodes.csv"
    text = _out("import", str(nodes), "--map", "G2=A10", "--map", "G3=A100-SXM-80")
    assert sum(p["nodes"] for p in yaml.safe_load(text)["fleet"]["pools"]) == 1213
