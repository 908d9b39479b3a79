"""The command line's own manners: errors, exit statuses, formats, width."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from typer.main import get_command

from eke import cli
from eke.cli.output import rows_table


def eke(*words: str, **env: str) -> subprocess.CompletedProcess[str]:
    """`eke …` as a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "eke", *words], env=os.environ | env, capture_output=True, text=True, check=False
    )


def test_an_error_is_one_message_on_stderr_and_exit_64() -> None:
    """Bad input says what, why and what to try; nothing on stdout, no traceback."""
    done = eke("fleet", "chips", "H800-SMX")
    assert done.returncode == 64
    assert done.stdout == ""
    assert "H800-SMX" in done.stderr
    assert "H800-SXM" in done.stderr
    assert "Traceback" not in done.stderr


def test_brackets_in_a_message_are_not_taken_for_markup() -> None:
    """`pip install 'eke[ray]'` is printed with its brackets."""
    cells = [list(c.cells) for c in rows_table([{"try": "pip install 'eke[ray]'"}]).columns]
    assert "\\[ray]" in str(cells[0][0])


@pytest.mark.parametrize("verb", ["plan", "up"])
def test_a_missing_file_is_bad_input(verb: str) -> None:
    """A path that is not there is the user's to mend: exit 64, and the path is named."""
    done = eke(verb, "nowhere.yaml")
    assert done.returncode == 64
    assert "nowhere.yaml" in done.stderr


@pytest.mark.parametrize("words", [("chips",), ("plan",), ("plan", "--no-such"), ("plan", "x.yaml", "-o", "xml")])
def test_a_wrong_call_is_bad_input_not_an_infeasible_plan(words: tuple[str, ...]) -> None:
    """Unknown verbs, options and formats exit 64: 2 means that a plan cannot be kept."""
    done = eke(*words)
    assert done.returncode == 64
    assert "--help" in done.stderr
    assert done.stdout == ""


def test_every_verb_has_help_and_every_reading_verb_takes_an_output_format() -> None:
    """`--help` of each verb names what it does; verbs that read print as table, json, csv or yaml."""
    if not cli.root.registered_commands:
        cli._register()
    command = get_command(cli.root)
    verbs = command.commands  # type: ignore[attr-defined]
    assert set(verbs) == set(cli.VERBS)
    for verb in verbs.values():
        assert verb.help
    for verb in ("doctor", "plan", "estimate", "status", "usage"):
        assert any("-o" in p.opts for p in verbs[verb].params), verb
