"""`eke models` as a user types it."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from eke.cli.models import app
from eke.errors import InputError, UnknownName
from eke.models import catalogue

run = CliRunner()


def test_list_names_every_model() -> None:
    """JSON carries its format, and one row a model."""
    result = run.invoke(app, ["list", "-o", "json"])
    document = json.loads(result.stdout)
    assert document["format"] == "eke.models/1"
    assert [m["name"] for m in document["models"]] == catalogue.names()


def test_list_in_every_format() -> None:
    """Table, CSV and YAML say the same."""
    assert "Hunyuan-Large" in run.invoke(app, ["list"]).stdout
    rows = list(csv.DictReader(io.StringIO(run.invoke(app, ["list", "-o", "csv"]).stdout)))
    documents = yaml.safe_load(run.invoke(app, ["list", "-o", "yaml"]).stdout)["models"]
    assert len(rows) == len(documents) == len(catalogue.names())


def test_show_says_what_a_model_costs() -> None:
    """Totals, active, cache a token, experts, variants with quality and source."""
    document = json.loads(run.invoke(app, ["show", "gpt-oss-120b", "-o", "json"]).stdout)
    assert document["format"] == "eke.model/1"
    assert document["parameters"] == pytest.approx(116.83e9, rel=1e-3)
    assert document["active_parameters"] == pytest.approx(5.13e9, rel=1e-2)
    assert document["kv_bytes_per_token"] == 18 * 2 * 8 * 64 * 2
    assert (document["experts"], document["experts_per_token"]) == (128, 4)
    fp4 = next(v for v in document["variants"] if v["variant"] == "fp4")
    assert fp4["quality"] == 1.0
    assert fp4["source"]


def test_show_reads_for_people() -> None:
    """The table names the published count and its source."""
    text = " ".join(run.invoke(app, ["show", "Qwen3-30B-A3B"], env={"COLUMNS": "200"}).stdout.split())
    assert "30.5B" in text
    assert "counted its maker's way: 3.35B" in text
    assert "8 of 128 a token" in text


def test_show_takes_a_path(tmp_path: Path) -> None:
    """Any config.json, without being in the catalogue."""
    (tmp_path / "config.json").write_text(json.dumps(dict(catalogue.entry("Qwen3-8B").config)))
    document = json.loads(run.invoke(app, ["show", str(tmp_path), "-o", "json"]).stdout)
    assert document["parameters"] == 8_190_735_360
    assert document["published"] is None


def test_an_unknown_model_is_an_input_error() -> None:
    """Exit 64 through the main program."""
    result = run.invoke(app, ["show", "Qwen3-9B"])
    assert isinstance(result.exception, UnknownName)
    assert result.exception.exit_code == 64


def test_fetch_prints_the_path_and_talks_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The path is data; steps are talk."""
    monkeypatch.setenv("EKE_MODELS", str(tmp_path / "models"))
    mine = tmp_path / "mine.gguf"
    mine.write_bytes(b"GGUF")
    result = run.invoke(app, ["fetch", "embedded", "--from", str(mine)])
    assert result.stdout.strip().endswith("qwen2.5-coder-0.5b-instruct-q4_k_m.gguf")
    assert len(result.stdout.splitlines()) == 1
    assert "checking" in result.stderr
    again = run.invoke(app, ["fetch"])
    assert again.stdout == result.stdout
    assert again.stderr == ""


def test_fit_says_what_takes_the_memory() -> None:
    """JSON adds up; the table names the same parts; CSV has a row a variant and tensor degree."""
    words = ["fit", "Qwen3-32B", "--chip", "H100-SXM", "--context", "8192"]
    document = json.loads(run.invoke(app, [*words, "-o", "json"]).stdout)
    assert (document["format"], document["fits"], document["chips"]) == ("eke.fit/1", True, 1)
    assert document["memory_bytes"] == pytest.approx(sum(document["memory"].values()))
    assert document["memory_bytes"] <= document["memory_limit_bytes"]
    assert document["weight_bytes"] == pytest.approx(65.5e9, rel=0.01)  # the published weights: 65.5 GB in bf16
    assert document["memory"]["KV cache"] == 8192 * 64 * 2 * 8 * 128 * 2
    table = run.invoke(app, words, env={"COLUMNS": "150"}).stdout
    assert all(part in table for part in document["memory"])
    rows = list(csv.DictReader(io.StringIO(run.invoke(app, [*words, "-o", "csv"]).stdout)))
    assert {r["variant"] for r in rows} == {"bf16", "fp8", "int4"}
    assert {r["tp"] for r in rows} == {"1", "2", "4", "8"}


def test_fit_ends_with_2_where_it_does_not_fit() -> None:
    """Status 2, still a whole document, and options that then fit."""
    words = ["fit", "Llama-3.1-405B", "--chip", "H100-SXM", "--tp", "8", "-o", "json"]
    result = run.invoke(app, words)
    document = json.loads(result.stdout)
    assert (result.exit_code, document["fits"]) == (2, False)
    assert document["would_fit"]
    for change in document["would_fit"]:
        again = run.invoke(
            app, [*words[:4], *words[6 if "--tp" in change["option"] else 4 :], *change["option"].split()]
        )
        assert again.exit_code == 0, change


def test_fit_finds_the_smallest_layout() -> None:
    """Without --tp and --pp: no layout of fewer chips holds it."""
    document = json.loads(run.invoke(app, ["fit", "Llama-3.1-70B", "--chip", "A100-SXM-80", "-o", "json"]).stdout)
    assert (document["chips"], document["tp"]) == (2, 2)
    alone = run.invoke(app, ["fit", "Llama-3.1-70B", "--chip", "A100-SXM-80", "--tp", "1", "-o", "json"])
    assert alone.exit_code == 2


def test_fit_knows_what_the_model_reads() -> None:
    """More context than the model was made for is an input error that names its limit."""
    result = run.invoke(app, ["fit", "Llama-3-8B", "--chip", "H100-SXM", "--context", "32k"])
    assert isinstance(result.exception, InputError)
    assert "--context 8192" in result.exception.remedy


def test_a_bounded_cache_is_not_shown_as_none() -> None:
    """Sliding windows, states and what grows are told apart."""
    text = run.invoke(app, ["list"], env={"COLUMNS": "200"}).stdout
    lines = {line.split()[0]: line for line in text.splitlines()[1:] if line}
    assert "131 kB for each of the last 4,096" in lines["Mistral-7B"]
    assert "36.9 kB a token, 36.9 kB for each of the last 128" in lines["gpt-oss-120b"]
    assert "a sequence" in lines["Nemotron-H-56B"]
    assert " 0 B" not in text
