"""What the source says, and what it does not."""

from __future__ import annotations

import pytest

from eke.apps import grounding


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("by Friday at the latest", ["Friday"]),
        ("on Sunday morning, or in two weeks", ["Sunday morning", "in two weeks"]),
        ("before March 3rd", ["March 3rd"]),
        ("2026-11-22, not 3.12.", ["2026-11-22", "3.12"]),
        ("我下周三之前发给你", ["下周三"]),
        ("we may march on", []),
        ("nobody said when", []),
    ],
)
def test_dates(text: str, said: list[str]) -> None:
    """Phrases that say when are found, and nothing else is."""
    assert grounding.dates(text) == said


def test_a_date_must_be_said() -> None:
    """A date counts only if its words are in the text, and only if it is one."""
    text = "I will call the hall again on Friday."
    assert grounding.says_date(text, "Friday")
    assert not grounding.says_date(text, "Thursday")
    assert not grounding.says_date(text, "the hall again")


def test_a_name_is_a_word() -> None:
    """Ann is named by `Ann's`, not by `Anna` or `annual`."""
    assert grounding.says_name("That is Ann's idea", "Ann")
    assert not grounding.says_name("Anna has the annual report", "Ann")


def test_support_looks_at_meaning_words() -> None:
    """Inflected words still match; a claim of filler has no support at all."""
    assert grounding.support("Fixing the spaces bug", "I will fix the trailing space bug") == 1.0
    assert grounding.support("Order a new printer", "I will fix the trailing space bug") == 0.0
    assert grounding.support("we will do that", "we will do that") == 0.0
    assert grounding.support("修复搜索问题", "我会修复搜索的问题") > 0.5
