"""`eke init`: a first scenario from what is known."""

from __future__ import annotations

import http.server
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest
import typer
import yaml
from tests.plan.scenarios import SMALL
from typer.testing import CliRunner

from eke.cli import init as verb
from eke.cli.init import init
from eke.errors import InputError
from eke.plan import load, make, metrics
from eke.plan.schema import schema

app = typer.Typer()
app.command()(init)
run = CliRunner()

PAGE = """\
# TYPE process_start_time_seconds gauge
process_start_time_seconds 1.7e+09
# TYPE vllm:request_success counter
vllm:request_success_total{engine="0",finished_reason="stop",model_name="Qwen/Qwen3-8B"} 900.0
vllm:request_success_total{engine="1",finished_reason="length",model_name="Qwen/Qwen3-8B"} 100.0
# TYPE vllm:prefix_cache_queries counter
vllm:prefix_cache_queries_total{engine="0",model_name="Qwen/Qwen3-8B"} 1000000.0
# TYPE vllm:prefix_cache_hits counter
vllm:prefix_cache_hits_total{engine="0",model_name="Qwen/Qwen3-8B"} 250000.0
# TYPE vllm:request_prompt_tokens histogram
vllm:request_prompt_tokens_bucket{engine="0",le="500.0",model_name="Qwen/Qwen3-8B"} 0.0
vllm:request_prompt_tokens_bucket{engine="0",le="1000.0",model_name="Qwen/Qwen3-8B"} 500.0
vllm:request_prompt_tokens_bucket{engine="0",le="2000.0",model_name="Qwen/Qwen3-8B"} 1000.0
vllm:request_prompt_tokens_bucket{engine="0",le="+Inf",model_name="Qwen/Qwen3-8B"} 1000.0
# TYPE vllm:request_generation_tokens histogram
vllm:request_generation_tokens_bucket{engine="0",le="100.0",model_name="Qwen/Qwen3-8B"} 1000.0
vllm:request_generation_tokens_bucket{engine="0",le="+Inf",model_name="Qwen/Qwen3-8B"} 1000.0
# TYPE vllm:time_to_first_token_seconds histogram
vllm:time_to_first_token_seconds_bucket{engine="0",le="0.1",model_name="Qwen/Qwen3-8B"} 1000.0
vllm:time_to_first_token_seconds_bucket{engine="0",le="+Inf",model_name="Qwen/Qwen3-8B"} 1000.0
"""


def test_an_example_to_change(tmp_path: Path) -> None:
    """With nothing known the file loads, every guess is marked, and it can be planned: also what is owned, where this
    machine has no accelerator.
    """
    file = tmp_path / "scenario.yaml"
    result = run.invoke(app, [str(file), "--yes"])
    assert result.exit_code == 0, result.output
    assert not load(file).detected
    assert file.read_text().count("change me") == 5
    assert "5 lines say `change me`, what you own too" in result.stderr
    assert make(load(file)).feasible
    with pytest.raises(InputError, match="is there already"):
        run.invoke(app, [str(file), "--yes"], catch_exceptions=False)
    assert run.invoke(app, [str(file), "--yes", "--force"]).exit_code == 0


def test_what_nvidia_smi_printed(tmp_path: Path) -> None:
    """A node's list of GPUs, times the nodes."""
    printed = tmp_path / "gpus.txt"
    printed.write_text("".join(f"GPU {n}: NVIDIA H20 (UUID: GPU-{n})\n" for n in range(8)))
    file = tmp_path / "s.yaml"
    assert run.invoke(app, [str(file), "--yes", "--nvidia-smi", str(printed), "--count", "24"]).exit_code == 0
    (pool,) = load(file).fleet.pools
    assert (pool.chip.name, pool.nodes, pool.chips_per_node) == ("H20-96", 24, 8)


@pytest.mark.parametrize("text", ["hello world", "", "fleet:\n  - {chip: L20, nodes: 2}\n", "<nvidia_smi_log"])
def test_another_file_is_not_nvidia_smi(tmp_path: Path, text: str) -> None:
    """What nvidia-smi never printed is said to be that, with the file's name; nothing is written."""
    wrong = tmp_path / "wrong.txt"
    wrong.write_text(text)
    with pytest.raises(InputError, match=r"wrong\.txt is not what nvidia-smi prints"):
        run.invoke(app, [str(tmp_path / "s.yaml"), "--nvidia-smi", str(wrong)], catch_exceptions=False)
    assert not (tmp_path / "s.yaml").exists()


@pytest.fixture
def server() -> Iterator[str]:
    """A page of metrics over HTTP."""

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(PAGE.encode())

        def log_message(self, *_: object) -> None:
            pass

    http_server = http.server.HTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=http_server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{http_server.server_port}/metrics"
    http_server.shutdown()
    http_server.server_close()


def test_what_a_server_says(tmp_path: Path, server: str) -> None:
    """Model, lengths and cache hits from a running vLLM; from a file also the rate, by when it was taken."""
    file = tmp_path / "s.yaml"
    assert run.invoke(app, [str(file), "--yes", "--metrics", server]).exit_code == 0
    (workload,) = yaml.safe_load(file.read_text())["workloads"]
    assert workload["model"] == "Qwen/Qwen3-8B"
    assert workload["traffic"]["lengths"]["prompt"] == {"p50": 1000, "p90": 1800, "p99": 1980}
    assert workload["traffic"]["prefix_hit"] == "25%"
    page = tmp_path / "metrics.txt"
    page.write_text(PAGE)
    os.utime(page, (1.7e9 + 100, 1.7e9 + 100))
    assert run.invoke(app, [str(file), "--yes", "--force", "--metrics", str(page)]).exit_code == 0
    assert load(file).workloads[0].traffic.rate_per_s == pytest.approx(10.0)


def test_a_model_nobody_knows(tmp_path: Path) -> None:
    """The file still loads, and says what to put."""
    page = tmp_path / "metrics.txt"
    page.write_text(PAGE.replace("Qwen/Qwen3-8B", "our-own"))
    file = tmp_path / "s.yaml"
    assert run.invoke(app, [str(file), "--yes", "--metrics", str(page)]).exit_code == 0
    assert load(file).workloads[0].model == "Qwen3-8B"
    assert "the server says our-own" in file.read_text()


def test_questions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal it asks, and asks again after an answer it cannot take."""
    monkeypatch.setattr(type(verb.talk), "is_terminal", True)
    file = tmp_path / "s.yaml"
    answers = "\n".join(
        ("H20 96", "H2O 4 x 8", "H20-96 4 x 8", "L20 2 x 8", "", "Qwen3-32B", "fast", "5/s", "1 s", "50 ms", "y",
         "Qwen3-8B", "1T", "90 d", "")
    )  # fmt: skip
    result = run.invoke(app, [str(file)], input=answers)
    assert result.exit_code == 0, result.output
    scenario = load(file)
    assert [(p.chip.name, p.nodes) for p in scenario.fleet.pools] == [("H20-96", 4), ("L20", 2)]
    assert [w.name for w in scenario.workloads] == ["chat", "next"]


IDLE = PAGE.replace("900.0", "0.0").replace("100.0\n# TYPE", "0.0\n# TYPE")


@pytest.mark.parametrize("page", ["<html>", "up 1\n", IDLE])
def test_bad_metrics(page: str) -> None:
    """Not metrics, not vLLM's, nothing answered."""
    with pytest.raises(InputError, match="metrics"):
        metrics.read(page, 1.7e9)


def test_the_schema_takes_what_loads(shared_data: Path) -> None:
    """Every reference scenario and example is valid; a misspelt key is not."""
    document = json.loads(run.invoke(app, ["--schema"]).stdout)
    assert document == schema()
    check = jsonschema.Draft202012Validator(document)
    check.check_schema(document)
    root = Path(__file__).parents[2]
    for file in [*(shared_data.parent / "scenarios").glob("*.yaml"), *(root / "examples").glob("*.yaml")]:
        assert not list(check.iter_errors(yaml.safe_load(file.read_text()))), file
    assert list(check.iter_errors(yaml.safe_load(SMALL.replace("objective", "objectives"))))
