# ruff: noqa: E501
"""Transcripts: who said what when."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eke.apps.meeting.transcript import clock, lines, parse, read, seconds
from eke.errors import InputError

VTT = """WEBVTT

00:00:01.000 --> 00:00:02.500
<v Ann>Good morning.

00:00:02.600 --> 00:00:05.000
<v Ann>Shall we <b>begin</b>?

00:00:05.200 --> 00:00:07.000
<v Ben Miller>Yes.
"""
SRT = "1\n00:00:01,000 --> 00:00:02,500\nAnn: Good morning.\n\n2\n00:00:05,200 --> 00:00:07,000\nBen Miller: Yes.\n"
JSON = '{"segments": [{"speaker": "Ann", "start": 1, "end": 2.5, "text": "Good morning."}, {"start": "00:05", "text": "Yes."}]}'
TEXT = "[00:01] Ann: Good morning.\n  Shall we begin?\n[00:00:05] Ben Miller (guest): Yes.\n"


def test_vtt_voices_and_joined_cues() -> None:
    """Cues of one voice are one turn with the times of all its cues."""
    ann, ben = parse(VTT, "vtt").turns
    assert (ann.speaker, ann.text, ann.start, ann.end) == ("Ann", "Good morning. Shall we begin?", 1.0, 5.0)
    assert (ben.id, ben.speaker, ben.start) == (1, "Ben Miller", 5.2)


@pytest.mark.parametrize(("text", "form"), [(SRT, "srt"), (JSON, "json"), (TEXT, "txt")])
def test_other_formats(text: str, form: str) -> None:
    """SRT, JSON and plain text give the same first turn at the same second."""
    first = parse(text, form).turns[0]
    assert (first.speaker, first.start) == ("Ann", 1.0)
    assert first.text.startswith("Good morning.")


def test_text_goes_on_with_the_speaker_before() -> None:
    """A line without a name belongs to the speaker before; a remark behind a name is no part of it."""
    transcript = parse(TEXT, "txt")
    assert transcript.speakers == ("Ann", "Ben Miller")
    assert transcript.turns[0].text == "Good morning. Shall we begin?"


def test_the_ending_need_not_tell(tmp_path: Path) -> None:
    """A file without a known ending is read by what is in it."""
    path = tmp_path / "weekly_talk.transcript"
    path.write_text(VTT)
    assert read(path).speakers == ("Ann", "Ben Miller")
    assert read(path).title == "weekly talk"


@pytest.mark.parametrize(
    ("text", "form"), [("nothing", "vtt"), ("{}", "json"), ("{", "json"), ("", "txt"), ("[1]", "json")]
)
def test_bad_input_is_said(text: str, form: str) -> None:
    """What is no transcript is refused with a line that would work."""
    with pytest.raises(InputError) as caught:
        parse(text, form)
    assert "Ann:" in caught.value.remedy


def test_missing_file(tmp_path: Path) -> None:
    """A file that is not there is bad input, not a crash."""
    with pytest.raises(InputError, match="cannot be read"):
        read(tmp_path / "none.vtt")


def test_lines_know_their_second() -> None:
    """A long speech is cut into sentences, each with the time of the cue it begins in."""
    cues = "\n\n".join(
        f"00:00:{i:02d}.000 --> 00:00:{i:02d}.900\n<v Ann>{' '.join(['word'] * 20)} number {i}." for i in range(4)
    )
    cut = lines(parse(f"WEBVTT\n\n{cues}\n", "vtt").turns[0])
    assert [line.start for line in cut] == [0.0, 1.0, 2.0, 3.0]


@given(st.lists(st.tuples(st.sampled_from("ABC"), st.text("abc .?!", min_size=1).filter(str.strip)), min_size=1))
def test_no_word_is_lost(said: list[tuple[str, str]]) -> None:
    """Every word stands in exactly one line of exactly one turn, in order; neighbours differ in speaker."""
    transcript = parse("\n".join(f"{who}: {text}" for who, text in said), "txt")
    words = [w for _, text in said for w in text.split()]
    assert [w for t in transcript.turns for line in lines(t) for w in line.text.split()] == words
    assert [t.id for t in transcript.turns] == list(range(len(transcript.turns)))


@given(st.floats(0, 9e5))
def test_clock_and_back(value: float) -> None:
    """A time on the clock reads back as the same second."""
    assert seconds(clock(value)) == int(value)
