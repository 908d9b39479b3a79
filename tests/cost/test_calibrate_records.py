"""A user's own records: read whatever their columns are called, sifted with reasons, fitted only if it helps."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from eke.cli.calibrate import app
from eke.cost import Profile, calibration, profile, trainers
from eke.cost.calibrate import columns, records, runs
from eke.cost.calibrate.coefficients import Coefficient, moved
from eke.cost.calibrate.records import Reading, Serving, Training
from eke.cost.calibration import Calibration
from eke.cost.trainers import Trainer
from eke.errors import InputError
from eke.fleet import catalogue
from eke.models import catalogue as models
from eke.models.variant import variants

ROOT = Path(__file__).parents[2]
H20 = catalogue.chip("H20-96")
ROW = {
    "model": "Llama-3.1-8B", "chip": "H20-96", "engine": "vllm", "variant": "bf16", "tp": 1, "concurrency": 8,
    "prompt": 1000, "output": 200, "ttft_ms": 350, "tpot_ms": 12,
}  # fmt: skip


def _write(folder: Path, rows: Sequence[Mapping[str, Any]], delimiter: str = ",") -> Path:
    file = folder / "records.csv"
    with file.open("w", encoding="utf-8", newline="") as out:
        writer = csv.DictWriter(out, list(rows[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)
    return file


def _read(file: Path, chip: str | None = None, engine: str | None = None) -> Reading:
    return records.read(file, chip, engine, catalogue.chip)


def _serving(truth: Profile, noise: float = 0.0, seed: int = 3) -> list[dict[str, Any]]:
    """Rows as the chip would give them, were `truth` its profile."""
    shapes = [
        (name, variant, tp, clients, prompt, output)
        for name, variant, tp in (
            ("Llama-3.1-8B", "bf16", 1), ("Llama-3.1-8B", "fp8", 2), ("Qwen3-32B", "fp8", 2), ("Qwen3-32B", "bf16", 4),
            ("Llama-3.1-70B", "fp8", 8),
        )
        for clients, prompt, output in ((1, 500, 200), (8, 4000, 300), (32, 1000, 500), (64, 300, 300), (4, 16000, 100))
    ]  # fmt: skip
    made = [
        Serving(
            n, "vllm", models.architecture(name), variants(models.architecture(name))[variant], (tp, 1, 1, 1), clients,
            prompt, output, 1.0, 1.0,
        )
        for n, (name, variant, tp, clients, prompt, output) in enumerate(shapes)
    ]  # fmt: skip
    shaken = np.exp(noise * np.random.default_rng(seed).standard_normal((2, len(made))))
    ttft, tpot = np.exp(runs._served(H20, truth, made)) * shaken
    return [
        {
            "model": r.model.name, "chip": "H20-96", "engine": "vllm", "variant": r.variant.name, "tp": r.layout[0],
            "concurrency": r.clients, "prompt": r.prompt, "output": r.output, "ttft_ms": 1e3 * a, "tpot_ms": 1e3 * b,
        }
        for r, a, b in zip(made, ttft, tpot, strict=True)
    ]  # fmt: skip


def _changed(**factors: float) -> Profile:
    return moved(profile.find(H20, "vllm", None), [Coefficient(n) for n in factors], np.log(list(factors.values())))


TRUTH = {"gemm": 0.7, "kernel_s": 2.0, "step_s": 4.0, "request_s": 2.0}


@pytest.mark.parametrize(
    "header",
    ["ttft_ms", "TTFT [ms]", "mean_ttft_ms", "Mean TTFT (ms)", "time_to_first_token_ms", "ttft (milliseconds)"],
)
def test_columns_go_by_many_names(header: str, tmp_path: Path) -> None:
    """Whatever tools call a column, and wherever they put the unit, 350 ms are 0.35 s."""
    rows = [{(header if k == "ttft_ms" else k): v for k, v in ROW.items()}]
    for delimiter in ",;\t":
        (found,) = _read(_write(tmp_path, rows, delimiter)).records
        assert isinstance(found, Serving)
        assert found.ttft_s == pytest.approx(0.35)
        assert found.tpot_s == pytest.approx(0.012)


def test_other_tools_headers_are_understood(tmp_path: Path) -> None:
    """Headers of vLLM's and other benchmarks: the mean is taken before the median, a cell may carry its own unit."""
    row = {
        "model_path": "meta-llama/Llama-3.1-8B", "system": "H20-96", "backend": "vLLM", "precision": "bfloat16",
        "tp_size": 2, "max_concurrency": 16, "request_rate": "inf", "isl": "4,000", "osl": 100,
        "median_ttft_ms": 900, "mean_ttft_ms": 800, "itl": "25 ms",
    }  # fmt: skip
    (found,) = _read(_write(tmp_path, [row])).records
    assert isinstance(found, Serving)
    assert (found.ttft_s, found.tpot_s, found.clients, found.prompt) == (0.8, 0.025, 16, 4000)
    assert (found.layout, found.variant.name) == ((2, 1, 1, 1), "bf16")


def test_a_rate_becomes_a_concurrency(tmp_path: Path) -> None:
    """Little's law: what is in flight is the rate times how long a request stays."""
    row = {k: v for k, v in ROW.items() if k != "concurrency"} | {"rate": "5/s"}
    (found,) = _read(_write(tmp_path, [row])).records
    assert isinstance(found, Serving)
    assert found.clients == pytest.approx(5 * (0.35 + 200 * 0.012))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"model": "Llama-9-8B"}, "no model is called"),
        ({"ttft_ms": -3}, "cannot be"),
        ({"tpot_ms": 0}, "cannot be"),
        ({"tpot_ms": 99999}, "wrong unit"),
        ({"prompt": 3_000_000}, "totals over all requests"),
        ({"variant": "int5"}, "int5"),
        ({"tp": "two"}, "'two'"),
        ({"concurrency": ""}, "no concurrency"),
        ({"ttft_ms": "", "tpot_ms": ""}, "neither ttft nor tpot"),
        ({"ep": 3}, "does not divide"),
        ({"engine": "sglang"}, "not vllm"),
        ({"chip": "H800-SXM"}, "H800-SXM, not H20-96"),
    ],
)
def test_bad_rows_are_told_apart_by_line(change: dict[str, Any], why: str, tmp_path: Path) -> None:
    """A row that cannot be is named by its line, with the reason; the others are used."""
    good = ROW | {"ep": 1}
    reading = _read(_write(tmp_path, [good, good | change, good]), "H20-96", "vllm")
    assert [r.line for r in reading.records] == [2, 4]
    (rejected,) = reading.rejected
    assert rejected.line == 3
    assert why in rejected.why
    assert records.told(reading.rejected)[0].startswith("line 3: ")


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        ([{"a": 1, "b": 2}], "neither serving nor training"),
        ([{k: v for k, v in ROW.items() if k != "prompt"}], "no column prompt"),
        ([{k: v for k, v in ROW.items() if k != "concurrency"}], "concurrency, rate"),
        ([ROW, ROW | {"chip": "L20"}], "2 chips"),
        ([ROW, ROW | {"engine": "sglang"}], "2 engines"),
        ([{k: v for k, v in ROW.items() if k != "chip"}], "of which chip"),
    ],
)
def test_files_that_cannot_be_used_are_refused(rows: list[dict[str, Any]], why: str, tmp_path: Path) -> None:
    """Wrong columns, or several chips or engines and none asked for: one error with a way out."""
    with pytest.raises(InputError, match=why) as caught:
        _read(_write(tmp_path, rows))
    assert caught.value.remedy


def test_records_of_another_chip_are_refused(tmp_path: Path) -> None:
    """A profile is never fitted to another chip's runs."""
    with pytest.raises(InputError, match="no row is of L20") as caught:
        _read(_write(tmp_path, [ROW, ROW]), "L20")
    assert "H20-96 (2 rows)" in caught.value.why


def test_a_time_without_a_unit_is_not_guessed(tmp_path: Path) -> None:
    """`ttft` of 350: nobody says whether milliseconds."""
    rows = [{("ttft" if k == "ttft_ms" else k): v for k, v in ROW.items()}]
    (rejected,) = _read(_write(tmp_path, rows)).rejected
    assert "in which unit" in rejected.why


def test_a_column_in_another_unit_is_found_out(tmp_path: Path) -> None:
    """A TTFT of 350 "seconds" in every row is a wrong header, not a slow chip."""
    rows = [{("ttft_s" if k == "ttft_ms" else k): v for k, v in row.items()} for row in _serving(_changed())]
    slow = [row for row in rows if row["ttft_s"] < 3600]
    with pytest.raises(InputError, match="TTFT: half of the rows") as caught:
        runs.fit(_read(_write(tmp_path, slow)), "eke calibrate", "records.csv")
    assert "another unit" in caught.value.why


@pytest.mark.parametrize("noise", [0.0, 0.05])
def test_the_fit_finds_what_made_the_records(noise: float, tmp_path: Path) -> None:
    """Records made by the cost model with other coefficients: held-out rows are predicted nearly to the noise."""
    truth = _changed(**TRUTH)
    outcome = runs.fit(_read(_write(tmp_path, _serving(truth, noise))), "eke calibrate", "records.csv")
    assert outcome.better
    assert outcome.used == 25
    assert len(outcome.fit.coefficients) <= 25 // runs.ROWS_A_COEFFICIENT
    for name, error in outcome.fit.errors.items():
        assert error.after < 0.6 * error.before, name
        assert error.after < 0.08 + noise, name
    assert outcome.fit.coefficients["kernel_s"] == pytest.approx(truth.kernel_s, rel=0.25)
    assert outcome.fit.spread is not None
    assert outcome.fit.spread < 0.15 + noise


def test_records_that_teach_nothing_change_nothing(tmp_path: Path, eke_home: Path) -> None:
    """Where the shipped coefficients are as good as can be, held-out rows get no better: status 2, no file."""
    file = _write(tmp_path, _serving(_changed(), 0.1))
    done = CliRunner().invoke(app, ["--from", str(file)], env={"COLUMNS": "200"})
    assert done.exit_code == 2
    assert "no better than before" in done.stderr
    assert not (eke_home / "profiles").exists()


def test_outliers_are_named_and_left_out(tmp_path: Path) -> None:
    """One row in seconds among milliseconds, and one forty times too slow, are named; the others are fitted."""
    rows = _serving(_changed(**TRUTH), 0.02)
    rows[3]["ttft_ms"] /= 1000
    rows[7]["tpot_ms"] *= 40
    outcome = runs.fit(_read(_write(tmp_path, rows)), "eke calibrate", "records.csv")
    assert outcome.used == 23
    assert [(r.line, r.why.split()[0]) for r in outcome.rejected] == [(5, "TTFT"), (9, "TPOT")]
    assert "thousand times" in outcome.rejected[0].why


def test_too_few_rows_are_refused(tmp_path: Path) -> None:
    """Eleven rows are not enough, and the reasons of the others stand in the message."""
    rows = _serving(_changed(**TRUTH))[:11]
    with pytest.raises(InputError, match="11 rows can be used, 12 are needed") as caught:
        runs.fit(_read(_write(tmp_path, [*rows, rows[0] | {"model": "Nobody-1B"}])), "x", "x")
    assert "line 13: no model" in caught.value.why


def test_the_command_writes_what_later_predictions_use(tmp_path: Path, eke_home: Path) -> None:
    """`--dry-run` writes nothing; then the file is there, `show` tells it, the profile has it, `remove` undoes it."""
    file = str(_write(tmp_path, _serving(_changed(**TRUTH), 0.02)))
    run = CliRunner().invoke
    dry = json.loads(run(app, ["--from", file, "--dry-run", "-o", "json"], catch_exceptions=False).stdout)
    assert (dry["format"], dry["written"], dry["better"]) == ("eke.calibration-fit/1", False, True)
    assert calibration.load("H20-96") is None
    done = run(app, ["--from", file], catch_exceptions=False, env={"COLUMNS": "200"})
    assert done.exit_code == 0
    assert re.search(r"TPOT, held-out rows +25", done.stdout)
    now = profile.find(H20, "vllm")
    assert now.basis == "measured"
    assert now.kernel_s == dry["fit"]["coefficients"]["kernel_s"]
    assert "records.csv" in now.source
    assert "serving, vllm" in run(app, ["show"], env={"COLUMNS": "200"}).stdout
    shown = json.loads(run(app, ["show", "h20-96", "-o", "json"], catch_exceptions=False).stdout)
    assert shown["serving"]["vllm"]["errors"] == dry["fit"]["errors"]
    assert run(app, ["remove", "H20-96"]).exit_code == 0
    assert profile.find(H20, "vllm").basis != "measured"


def test_a_second_fit_starts_where_the_first_did(tmp_path: Path) -> None:
    """Fitting the same file again gives the same coefficients: errors before are those of what is shipped."""
    reading = _read(_write(tmp_path, _serving(_changed(**TRUTH), 0.02)))
    first = runs.fit(reading, "x", "x")
    calibration.save(first.kept())
    second = runs.fit(reading, "x", "x")
    assert (second.fit.coefficients, second.fit.errors) == (first.fit.coefficients, first.fit.errors)


def test_parts_of_a_calibration_stay_beside_each_other(tmp_path: Path) -> None:
    """Fitting one engine leaves what is known of another, and of kernels, as it is."""
    outcome = runs.fit(_read(_write(tmp_path, _serving(_changed(**TRUTH)))), "x", "x")
    calibration.save(Calibration("H20-96", kernels=outcome.fit, serving={"sglang": outcome.fit}))
    kept = outcome.kept()
    assert set(kept.serving) == {"sglang", "vllm"}
    assert kept.kernels == outcome.fit


def _trained(truth: Trainer) -> list[dict[str, Any]]:
    shapes = [
        (name, tp, pp, dp, sequence, micro)
        for name, tp, pp in (
            ("Llama-3.1-8B", 1, 1),
            ("Llama-3.1-8B", 2, 1),
            ("Qwen3-32B", 4, 2),
            ("Llama-3.1-70B", 8, 2),
        )
        for dp, sequence, micro in ((8, 4096, 1), (16, 2048, 2), (8, 8192, 1), (32, 4096, 1))
    ]
    made = [
        Training(
            n, "megatron", models.architecture(name), "bf16", (tp, pp, 1, dp), 1, sequence, 256 * sequence, micro,
            None, "zero1", 1.0,
        )
        for n, (name, tp, pp, dp, sequence, micro) in enumerate(shapes)
    ]  # fmt: skip
    rate = 1.0 / np.exp(runs._trained(H20, "megatron", truth, made)[0])
    return [
        {
            "model": r.model.name, "chip": "H20-96", "framework": "megatron", "tp": r.layout[0], "pp": r.layout[1],
            "dp": r.layout[3], "sequence": r.sequence, "global_batch": 256, "micro_batch": r.micro_batch,
            "precision": "bf16", "step_s": r.batch_tokens / x / (r.layout[0] * r.layout[1] * r.layout[3]),
        }
        for r, x in zip(made, rate, strict=True)
    ]  # fmt: skip


def test_training_records_are_fitted_too(tmp_path: Path) -> None:
    """Step times of a chip that is slower than shipped: the framework's coefficients on it move there."""
    base = trainers.find(H20, "megatron")
    truth = moved(base, [Coefficient("gemm"), Coefficient("layer_s")], np.log([0.7, 3.0]))
    outcome = runs.fit(_read(_write(tmp_path, _trained(truth))), "eke calibrate", "records.csv")
    assert outcome.better
    assert outcome.fit.errors["tokens/s"].after < 0.4 * outcome.fit.errors["tokens/s"].before
    calibration.save(outcome.kept())
    assert trainers.find(H20, "megatron").basis == "measured"
    assert trainers.find(H20, "megatron").gemm["bf16"] < base.gemm["bf16"]


def test_every_coefficient_is_one() -> None:
    """What may be fitted are fields of what predictions use; every alias names one column."""
    assert {c.name for c in runs.SERVING} <= {f.name for f in fields(Profile)}
    assert {c.name for c in runs.TRAINING} <= {f.name for f in fields(Trainer)}
    for table in (columns.SERVING, columns.TRAINING):
        spoken = [name for column in table for name in (column.name, *column.also)]
        doubled = {name for name in spoken if spoken.count(name) > 1}
        assert doubled <= {"engine", "framework", "precision", "variant", "backend", "dtype"}


def test_the_example_is_what_the_page_says() -> None:
    """The example file is read without a word, and its columns are those of the page."""
    reading = _read(ROOT / "examples" / "serving-records.csv")
    assert not reading.rejected
    assert len(reading.records) >= runs.LEAST
    page = (ROOT / "docs" / "calibrate.md").read_text(encoding="utf-8")
    for column in {*columns.SERVING, *columns.TRAINING}:
        assert f"`{column.name}" in page, column.name


def test_published_runs_are_read(shared_data: Path, tmp_path: Path) -> None:
    """Published runs as of a chip 1.6 times as slow: read, fitted, and held-out rows predicted better."""
    with (shared_data / "perf" / "serving_silicon.csv").open(encoding="utf-8") as lines:
        table = [
            r for r in csv.DictReader(lines) if (r["system"], r["backend"], r["mode"]) == ("h100_sxm", "vllm", "agg")
        ]
    rows = [
        {
            "model": r["model_path"], "chip": "H100-SXM", "engine": "vllm", "variant": r["precision"],
            "tp": r["tp_size"], "concurrency": r["batch_size"], "prompt": r["isl"], "output": r["osl"],
            "ttft_ms": 1.6 * float(r["silicon_ttft_ms"]), "tpot_ms": 1.6 * float(r["silicon_tpot_ms"]),
        }
        for r in table
        if not r["attention_dp_size"] or r["attention_dp_size"] == "1"
    ]  # fmt: skip
    outcome = runs.fit(_read(_write(tmp_path, rows[::3])), "x", "x")
    assert outcome.better
    assert outcome.fit.errors["TPOT"].after < 0.7 * outcome.fit.errors["TPOT"].before
