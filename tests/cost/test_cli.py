"""The verbs of this floor, as users call them."""

from __future__ import annotations

import csv
import io
import json

import pytest
import typer
from typer.testing import CliRunner

from eke import units
from eke.cli.estimate import estimate
from eke.errors import InputError, UnknownName


def _run(verb: object, *words: str) -> str:
    app = typer.Typer()
    app.command()(verb)  # type: ignore[type-var]
    done = CliRunner().invoke(app, words, catch_exceptions=False, env={"COLUMNS": "200"})
    assert done.exit_code == 0
    return done.stdout


def test_estimate_prints_json_csv_and_a_table() -> None:
    """One prediction in three forms, of the same numbers."""
    words = ("Llama-3.1-8B", "--chip", "h100-sxm", "--batch", "8", "--prompt", "500", "--output", "100")
    document = json.loads(_run(estimate, *words, "-o", "json"))
    assert (document["format"], document["model"], document["chip"]) == ("eke.estimate/1", "Llama-3.1-8B", "H100-SXM")
    rows = list(csv.DictReader(io.StringIO(_run(estimate, *words, "-o", "csv"))))
    assert [r["operator"] for r in rows] == [o["name"] for o in document["operators"]]
    table = _run(estimate, *words)
    assert "time to first token" in table
    between = document["tpot_s"] - document["step_s"]
    assert between > 0
    assert f"others' prompts, read in between  {units.show_seconds(between)}" in table  # a step and these are a token
    for key in ("tokens_per_s", "mfu"):
        low, high = document["interval"][key]
        assert low < document[key] < high
    assert document["basis"] in table


def test_estimate_of_training() -> None:
    """`--train` gives an optimizer step with its MFU."""
    words = ("Llama-3.1-8B", "--chip", "H100-SXM", "--train", "--dp", "8", "--global-batch", "2M", "-o", "json")
    document = json.loads(_run(estimate, *words))
    assert document["tokens_per_s"] == pytest.approx(2e6 / document["step_s"])


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (("Llama-3.1-8B", "--chip", "H1000"), UnknownName),
        (("Llama-3.1-8B", "--chip", "H100-SXM", "--variant", "int5"), UnknownName),
        (("Llama-3.1-8B", "--chip", "H100-SXM", "--engine", "nothing"), UnknownName),
        (("Llama-3.1-8B", "--chip", "H100-SXM", "--train", "--global-batch", "4 parsecs"), InputError),
        (("Llama-3.1-405B", "--chip", "H100-SXM"), InputError),
    ],
)
def test_bad_questions_are_input_errors(words: tuple[str, ...], error: type[InputError]) -> None:
    """Unknown names, units and models that do not fit: exit status 64, with a way out."""
    with pytest.raises(error) as caught:
        _run(estimate, *words)
    assert caught.value.exit_code == 64
    assert caught.value.remedy
