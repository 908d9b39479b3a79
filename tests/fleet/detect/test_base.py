"""What all detectors share: quantities, transcripts, and which way of asking is taken."""

from __future__ import annotations

import sys
from collections.abc import Iterable

import pytest

from eke.fleet.detect import base
from eke.fleet.detect.base import Command, Device


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("81559 MiB", 81559 * 2**20),
        ("16384", 16384 * 2**20),
        ("48GiB", 48 * 2**30),
        ("34359738368 B", 2**35),
        ("xxxxx MiB", None),
        ("N/A", None),
        (None, None),
    ],
)
def test_memory_is_read_in_its_unit(text: str | None, size: float | None) -> None:
    """MiB unless the text says otherwise; masked or missing memory is unknown, not zero."""
    assert base.mib(text) == size


def test_shares() -> None:
    """Percentages become shares; what a card does not support is unknown."""
    assert base.share("35 %") == 0.35
    assert base.share("[Not Supported]") is None


class _Told:
    """A detector of lines `index memory-in-MiB`."""

    VENDOR, PCI_IDS, VISIBLE = "Acme", frozenset({"ac3e"}), ()

    def __init__(self, *ways: tuple[base.Step, ...]) -> None:
        self.COMMANDS = ways

    def parse(self, text: str) -> list[Device]:
        rows = [line.split() for line in text.splitlines() if not line.startswith("$")]
        return [Device(int(n), "a", base.mib(m)) for n, m in rows]


def test_the_first_way_that_knows_memory_is_taken() -> None:
    """A later way is asked when an earlier one leaves memory unknown; without any, the first answer stands."""
    told = _Told((Command(("a",)),), (Command(("b",)),))
    both = {"a": "0 ?\n", "b": "0 8\n"}
    assert base.ask(told, lambda c: both[c.argv[0]])[0].memory_bytes == 8 * 2**20
    assert base.ask(told, lambda c: "0 ?\n") == [Device(0, "a", vendor="Acme")]
    assert base.ask(told, lambda c: None) == []


def test_a_step_may_ask_by_what_was_answered() -> None:
    """Answers of follow-up questions stand under the question."""
    seen = []

    def more(text: str) -> Iterable[Command]:
        seen.append(text)
        return [Command(("b", "-i", "7"))]

    base.ask(_Told((Command(("a",)), more)), lambda c: "1 4\n" if c.argv[0] == "a" else "2 4\n")
    assert seen == ["1 4\n"]


def test_a_tool_runs_in_a_folder_of_its_own() -> None:
    """A tool that writes a file where it stands leaves nothing behind, and its file is the answer."""
    code = "open('answer.json', 'w').write('{}')"
    assert base.run(Command((sys.executable, "-c", code), file="answer.json")) == "{}"


def test_no_tool_and_a_failing_tool_are_no_answer() -> None:
    """Absence and failure look alike: nothing was learnt."""
    assert base.run(Command(("no-such-tool-here",))) is None
    assert base.run(Command((sys.executable, "-c", "raise SystemExit(9)"))) is None
    assert base.run(Command((sys.executable, "-c", "print('x')"), file="never-written")) is None
