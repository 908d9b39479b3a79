"""A transcript: who said what when, from VTT, SRT, JSON or plain text. Knows no model.

A turn is what one speaker says until another speaks; it is never taken apart between two portions. It keeps the cues it
was made of, so that a citation can point at the second, not at the minute.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import webvtt

from eke.errors import InputError

EXAMPLE = "Ann: Good morning. Shall we begin?"
LINE_WORDS = 32  # about two sentences: as much as one label can say something about
_SENTENCE = re.compile(r"(?<=[.!?…])\s+|(?<=[。！？])")
_CLOCK = r"(?:(\d{1,3}):)?(\d{1,2}):(\d{2})(?:[.,](\d{1,3}))?"
_STAMP = re.compile(rf"\s*[\[(]?{_CLOCK}[\])]?\s*(?:[-–—]\s*)?")
_SPEAKER = re.compile(r"\s*([^\W\d_][\w .'’-]{0,39}?)\s*(?:\((?:[^)]*)\))?\s*[:：]\s*(.*)", re.DOTALL)
_TAG = re.compile(r"<[^>]+>")


@dataclass(frozen=True, slots=True)
class Cue:
    """Words with the time they begin and end at, in seconds; None where the source does not say."""

    start: float | None
    end: float | None
    text: str


@dataclass(frozen=True, slots=True)
class Turn:
    """What one speaker says until another speaks. `speaker` is empty when nobody knows who it was."""

    id: int
    speaker: str
    cues: tuple[Cue, ...]

    @property
    def text(self) -> str:
        """All of it."""
        return " ".join(c.text for c in self.cues)

    @property
    def start(self) -> float | None:
        """When it begins."""
        return self.cues[0].start

    @property
    def end(self) -> float | None:
        """When it ends."""
        return self.cues[-1].end

    def __str__(self) -> str:
        return f"{self.speaker}: {self.text}" if self.speaker else self.text


@dataclass(frozen=True, slots=True)
class Line:
    """A sentence or two of a turn, with the time they begin at."""

    turn: Turn
    start: float | None
    text: str

    def __str__(self) -> str:
        return f"{self.turn.speaker}: {self.text}" if self.turn.speaker else self.text


@dataclass(frozen=True, slots=True)
class Transcript:
    """A meeting, in turns; turn `i` has the id `i`."""

    title: str
    turns: tuple[Turn, ...]

    @property
    def speakers(self) -> tuple[str, ...]:
        """Everybody who spoke, in order of their first word."""
        return tuple(dict.fromkeys(t.speaker for t in self.turns if t.speaker))


def read(path: Path) -> Transcript:
    """The transcript in a file; its ending says the format, its content when the ending does not.

    Raises:
        InputError: the file is missing, unreadable or holds no speech.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path} cannot be read", why=str(error), remedy="a VTT, SRT, JSON or text file in UTF-8"
        ) from error
    return parse(text, _format(path.suffix.lower(), text), title=path.stem.replace("_", " ").replace("-", " "))


def parse(text: str, form: str, title: str = "meeting") -> Transcript:
    """The transcript in a string; `form` is vtt, srt, json or txt."""
    try:
        said = [(speaker.strip(), cue) for speaker, cue in READERS[form](text) if cue.text]
    except (
        webvtt.errors.MalformedFileError,
        webvtt.errors.MalformedCaptionError,
        ValueError,
        TypeError,
        KeyError,
    ) as error:
        raise InputError(
            f"this is not {form.upper()}", why=str(error), remedy=f"plain text will do: {EXAMPLE}"
        ) from error
    if not said:
        raise InputError("nobody says anything in this transcript", remedy=f"lines such as {EXAMPLE!r}")
    return Transcript(title, tuple(_turns(said)))


def lines(turn: Turn) -> list[Line]:
    """The turn's sentences, a few short ones together."""
    found: list[Line] = []
    for start, sentence in _sentences(turn.cues):
        last = found[-1] if found else None
        if last and len(last.text.split()) + len(sentence.split()) <= LINE_WORDS:
            found[-1] = Line(turn, last.start, f"{last.text} {sentence}")
        else:
            found.append(Line(turn, start, sentence))
    return found


def clock(seconds: float | None) -> str:
    """`75.2` as `01:15`, hours when there are any, a dash when nobody knows."""
    if seconds is None:
        return "–"
    hours, rest = divmod(int(seconds), 3600)
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d}" if hours else f"{rest // 60:02d}:{rest % 60:02d}"


def seconds(text: str) -> float:
    """`00:01:15.200`, `1:15` or `75.2` in seconds."""
    match = re.fullmatch(_CLOCK, text.strip())
    return _from_clock(match) if match else float(text)


def _from_clock(match: re.Match[str]) -> float:
    hours, minutes, whole, part = match.groups()[:4]
    return int(hours or 0) * 3600 + int(minutes) * 60 + int(whole) + (float(f"0.{part}") if part else 0.0)


def _sentences(cues: Iterable[Cue]) -> Iterable[tuple[float | None, str]]:
    """Sentences over the joints of cues, each with the start of the cue it begins in."""
    rest, began = "", None
    for cue in cues:
        began = began if rest else cue.start
        *whole, rest_of_cue = _SENTENCE.split(f"{rest} {cue.text}".strip())
        for sentence in whole:
            yield began, sentence
            began = cue.start
        rest = rest_of_cue
        if re.search(r"[.!?…。！？]$", rest):
            yield began, rest
            rest = ""
    if rest:
        yield began, rest


def _turns(said: Iterable[tuple[str, Cue]]) -> list[Turn]:
    """Neighbouring cues of one known speaker as one turn; where no speaker is known, a turn is a sentence."""
    turns: list[Turn] = []
    for speaker, cue in said:
        last = turns[-1] if turns else None
        unfinished = last and not re.search(r"[.!?…。！？]$", last.cues[-1].text)
        if last and last.speaker == speaker and (speaker or unfinished):
            turns[-1] = Turn(last.id, speaker, (*last.cues, cue))
        else:
            turns.append(Turn(len(turns), speaker, (cue,)))
    return turns


def _clean(text: str) -> str:
    return " ".join(_TAG.sub("", text).split())


def _named(text: str) -> tuple[str, str]:
    """`Ann: hello` as its two parts; no speaker when there is none, or when it is no name (`To sum up: …`)."""
    match = _SPEAKER.fullmatch(text)
    if match and len(match[1].split()) <= 4 and "\n" not in match[1]:
        return match[1], match[2]
    return "", text


def _vtt(text: str) -> Iterable[tuple[str, Cue]]:
    for caption in webvtt.from_buffer(io.StringIO(text)).captions:
        yield from _captions(caption)


def _srt(text: str) -> Iterable[tuple[str, Cue]]:
    for caption in webvtt.from_buffer(io.StringIO(text), format="srt").captions:
        yield from _captions(caption)


def _captions(caption: Any) -> Iterable[tuple[str, Cue]]:
    """One caption: a voice tag names the speaker, else `Ann: …` does."""
    speaker, said = (caption.voice, caption.text) if caption.voice else _named(_TAG.sub("", caption.text))
    yield speaker, Cue(float(seconds(caption.start)), float(seconds(caption.end)), _clean(said))


def _json(text: str) -> Iterable[tuple[str, Cue]]:
    """A list of segments, or an object that holds one under a usual name (Whisper and the meeting services)."""
    document = json.loads(text)
    if isinstance(document, Mapping):
        document = next((document[k] for k in ("turns", "segments", "utterances", "results") if k in document), None)
    if not isinstance(document, list) or not all(isinstance(s, Mapping) for s in document):
        raise ValueError("expected a list of {speaker, start, end, text}, or {segments: [...]}")
    for segment in document:
        start, end = (_time(segment.get(key)) for key in ("start", "end"))
        speaker = segment.get("speaker") or segment.get("speaker_name") or ""
        yield str(speaker), Cue(start, end, _clean(str(segment["text"])))


def _time(value: object) -> float | None:
    return None if value is None else seconds(str(value))


def _text(text: str) -> Iterable[tuple[str, Cue]]:
    """`Ann: …` or `[00:01:15] Ann: …`; a line without a name goes on with the speaker before."""
    speaker = ""
    for line in filter(str.strip, text.splitlines()):
        stamp = _STAMP.match(line)
        name, said = _named(line[stamp.end() :] if stamp else line)
        speaker = name or speaker
        yield speaker, Cue(_from_clock(stamp) if stamp else None, None, _clean(said))


READERS: Mapping[str, Callable[[str], Iterable[tuple[str, Cue]]]] = {
    "vtt": _vtt,
    "srt": _srt,
    "json": _json,
    "txt": _text,
}


def _format(suffix: str, text: str) -> str:
    known = suffix.removeprefix(".")
    if known in READERS:
        return known
    head = text.lstrip()[:200]
    if head.startswith("WEBVTT"):
        return "vtt"
    if head.startswith(("{", "[{")):
        return "json"
    return "srt" if re.match(r"\d+\s*\n\d\d:\d\d:\d\d,\d", head) else "txt"
