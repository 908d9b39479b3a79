"""Minutes on paper: Markdown for people, JSON for programs, VTT to play beside the recording."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from eke.apps.meeting.facts import Fact
from eke.apps.meeting.minutes import Minutes
from eke.apps.meeting.transcript import clock

_NO_SUMMARY = "_no summary that the transcript supports_"
LAST_CUE_S = 4.0  # shown this long when nobody knows when it ends


def markdown(minutes: Minutes) -> str:
    """A page: summary, decisions, actions, and the parts in order; every line with its time."""
    spoke = ", ".join(minutes.transcript.speakers) or "unknown speakers"
    length = clock(minutes.parts[-1].end)
    blocks = [
        f"# {minutes.transcript.title[:1].upper()}{minutes.transcript.title[1:]}",
        f"{spoke} · {length} · written by {minutes.model}",
        _gaps(minutes),
        "## Summary\n\n" + (minutes.summary or _NO_SUMMARY),
        "## Decisions\n\n" + _list([f"{d.text} `{clock(d.start)}`" for d in minutes.decisions], "None found."),
        "## Actions\n\n" + _table(minutes.actions),
        "## Part by part\n\n" + _list([_part(minutes, i) for i in range(len(minutes.parts))], "")
        if len(minutes.parts) > 1
        else "",
    ]
    return "\n\n".join(filter(None, blocks)) + "\n"


def document(minutes: Minutes) -> dict[str, Any]:
    """Everything, in the format `eke.minutes/1`."""
    return {
        "format": "eke.minutes/1",
        "title": minutes.transcript.title,
        "model": minutes.model,
        "speakers": list(minutes.transcript.speakers),
        "seconds": minutes.parts[-1].end,
        "summary": minutes.summary,
        "decisions": [_item(d) for d in minutes.decisions],
        "actions": [_item(a) | {"owner": a.owner, "due": a.due} for a in minutes.actions],
        "parts": [
            {"start": p.start, "end": p.end, "turns": [p.turns[0].id, p.turns[-1].id], "summary": p.summary}
            | ({"missing": p.missing} if p.missing else {})
            for p in minutes.parts
        ],
    }


def as_json(minutes: Minutes) -> str:
    """The document as text."""
    return json.dumps(document(minutes), indent=2, ensure_ascii=False) + "\n"


def vtt(minutes: Minutes) -> str:
    """The parts' summaries, decisions and actions as captions at the time they were said."""
    cues = [(p.start, p.end, p.summary or f"[missing: {p.missing}]") for p in minutes.parts if p.summary or p.missing]
    facts = (*minutes.decisions, *minutes.actions)
    cues += [(f.start, f.lines[-1].turn.end, f"{f.kind.capitalize()}: {_sentence(f)}") for f in facts]
    timed = [(s, e if e is not None and e > s else s + LAST_CUE_S, text) for s, e, text in cues if s is not None]
    body = [f"{_stamp(s)} --> {_stamp(e)}\n{_escaped(text)}" for s, e, text in sorted(timed)]
    return "\n\n".join(["WEBVTT", *body]) + "\n"


FORMATS: Mapping[str, Callable[[Minutes], str]] = {"md": markdown, "json": as_json, "vtt": vtt}


def _item(fact: Fact) -> dict[str, Any]:
    return {
        "text": fact.text,
        "time": fact.start,
        "turns": list(dict.fromkeys(line.turn.id for line in fact.lines)),
        "quote": fact.quote,
    }


def _sentence(fact: Fact) -> str:
    """A fact in one line, with who and when if known."""
    who = f" ({', '.join(filter(None, (fact.owner, fact.due)))})" if fact.owner or fact.due else ""
    return f"{fact.text}{who}"


def _gaps(minutes: Minutes) -> str:
    """A word at the top when a part is missing."""
    gone = [f"{clock(p.start)}–{clock(p.end)}" for p in minutes.parts if p.missing]
    return f"> **Not complete:** {', '.join(gone)} could not be read; see below." if gone else ""


def _part(minutes: Minutes, i: int) -> str:
    part = minutes.parts[i]
    said = (
        f"**missing:** {part.missing}" if part.missing else part.summary or "_no summary that the transcript supports_"
    )
    return f"`{clock(part.start)}` {said}"


def _table(actions: tuple[Fact, ...]) -> str:
    if not actions:
        return "None found."
    rows = [
        f"| {_cell(a.text)} | {_cell(a.owner or '–')} | {_cell(a.due or '–')} | `{clock(a.start)}` |" for a in actions
    ]
    return "\n".join(["| What | Who | Due | Said at |", "|---|---|---|---|", *rows])


def _list(items: list[str], empty: str) -> str:
    return "\n".join(f"- {item}" for item in items) or empty


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _stamp(seconds: float) -> str:
    whole, ms = divmod(round(seconds * 1000), 1000)
    return f"{whole // 3600:02d}:{whole % 3600 // 60:02d}:{whole % 60:02d}.{ms:03d}"


def _escaped(text: str) -> str:
    return " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;").replace("-->", "→")
