# ruff: noqa: E501
"""From transcript to minutes: nothing lost, nothing invented."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from eke.apps.client import Client
from eke.apps.meeting import minutes as writing
from eke.apps.meeting import show
from eke.apps.meeting.transcript import Transcript, parse, read
from eke.errors import EkeError

EXAMPLE = Path(__file__).parents[3] / "examples" / "meeting.vtt"


def long_meeting(turns: int = 400) -> Transcript:
    """An hour of four people talking about the same few things, with a promise every twenty turns."""
    draw = random.Random(1)
    subjects = ["the budget", "the new printer", "the garden", "the holidays", "a second oven", "the old archive"]
    rows = []
    for i in range(turns):
        who = ["Ann", "Ben", "Chen", "Dana"][i % 4]
        what = draw.choice(subjects)
        text = (
            f"I will write to the shop about {what} on Friday."
            if i % 20 == 7
            else f"There is more to say about {what}, " * 3 + "is there not."
        )
        rows.append(f"[{i * 9 // 3600:02d}:{i * 9 // 60 % 60:02d}:{i * 9 % 60:02d}] {who}: {text}")
    return parse("\n".join(rows), "txt", "long")


def model(body: dict[str, Any]) -> Any:
    """Labels promises, fills forms, and sums up by saying the first words again."""
    asked = body["messages"][-1]["content"]
    if "response_format" in body:
        return json.dumps({"task": asked.split(": ")[-1], "owner": None, "due": "Friday"})
    if body["max_tokens"] <= 3:
        return "action" if "I will" in asked else "other"
    return asked.split(". ")[0] + "."


async def test_turns_are_never_cut(served: Any) -> None:
    """Parts follow each other without gap, overlap or cut turn, and keep to the budget."""
    async with Client(served.url, app="test") as client:
        parts = await writing.cut(client, long_meeting())
        sizes = [await client.count(str(p)) for p in parts]
    assert [t.id for p in parts for t in p.turns] == list(range(400))
    assert len(parts) > 10
    assert max(sizes) <= writing.PART_TOKENS


async def test_a_speech_longer_than_a_part(served: Any) -> None:
    """Only a turn longer than a part is cut, at its sentences, and all pieces keep its id."""
    speech = parse("Ann: " + " ".join(f"This is sentence number {i} of a long speech." for i in range(300)), "txt")
    async with Client(served.url, app="test") as client:
        parts = await writing.cut(client, speech)
    assert len(parts) > 1
    assert {t.id for p in parts for t in p.turns} == {0}
    assert " ".join(t.text for p in parts for t in p.turns) == speech.turns[0].text


async def test_long_meetings(served: Any) -> None:
    """Of an hour every promise is found, with the second it was said at and a date that was said."""
    served.answer = model
    steps: list[tuple[int, int]] = []
    async with Client(served.url, app="test") as client:
        found = await writing.write(client, long_meeting(), lambda done, of, _what: steps.append((done, of)))
    document = show.document(found)
    cited = {a["turns"][-1] for a in document["actions"]}
    assert cited <= {i for i in range(400) if i % 20 == 7}
    assert {a.text for a in found.actions}  # equal promises are told once
    assert all(a["due"] == "Friday" and a["time"] == a["turns"][-1] * 9 for a in document["actions"])
    assert steps[-1][0] == steps[-1][1]
    assert [d for d, _ in steps] == sorted(d for d, _ in steps)


async def test_a_missing_part_is_shown(served: Any) -> None:
    """A part that fails stands in the minutes with its times and the reason."""
    served.answer = lambda body: (
        web.json_response({"error": {"message": "engine died"}}, status=500)
        if "sentinel" in str(body["messages"][-1])
        else model(body)
    )
    rows = [
        f"[00:{i // 60:02d}:{i % 60:02d}] Ann: {'the sentinel speaks of many things here' if i == 30 else 'many other things are spoken of'}."
        for i in range(0, 3000, 30)
    ]
    transcript = parse("\n".join(r.replace("Ann", "Ann" if i % 2 else "Ben") for i, r in enumerate(rows)), "txt")
    async with Client(served.url, app="test") as client:
        found = await writing.write(client, transcript)
    gone = [p for p in found.parts if p.missing]
    assert len(gone) == 1
    assert "engine died" in gone[0].missing
    page = show.markdown(found)
    assert "Not complete" in page
    assert "engine died" in page
    assert [p["missing"] for p in show.document(found)["parts"] if "missing" in p] == [gone[0].missing]


async def test_all_missing_is_an_error(served: Any) -> None:
    """Minutes of nothing are not printed."""
    served.answer = lambda _b: web.json_response({"error": {"message": "engine died"}}, status=500)
    async with Client(served.url, app="test") as client:
        with pytest.raises(EkeError, match="no part"):
            await writing.write(client, parse("Ann: Good morning, dear colleagues.", "txt"))


async def test_too_long_for_the_engine(served: Any) -> None:
    """When the engine counts more tokens than we did, the summary is made of two halves."""

    def narrow(body: dict[str, Any]) -> Any:
        if body["max_tokens"] > 3 and len(body["messages"][-1]["content"]) > 700:
            return web.json_response(
                {"error": {"message": "the request exceeds the available context size"}}, status=400
            )
        return model(body)

    served.answer = narrow
    async with Client(served.url, app="test") as client:
        found = await writing.write(client, read(EXAMPLE))
    assert not any(p.missing for p in found.parts)


def test_a_summary_may_not_swap_people() -> None:
    """A sentence that gives one person another's words is not supported."""
    turns = parse("Chen: We could move the backup to noon.\nDana: Sunday morning is quiet.", "txt").turns
    assert writing.supported("Chen could move the backup to noon.", turns)
    assert not writing.supported("Dana could move the backup to noon.", turns)
    assert not writing.supported("The backup moves to noon in 2019.", turns)


@pytest.mark.parametrize("form", show.FORMATS)
async def test_papers(served: Any, form: str) -> None:
    """Every paper is made, and reads back."""
    served.answer = model
    async with Client(served.url, app="test") as client:
        found = await writing.write(client, read(EXAMPLE))
    text = show.FORMATS[form](found)
    if form == "json":
        assert json.loads(text)["format"] == "eke.minutes/1"
    elif form == "vtt":
        assert parse(text, "vtt").turns
    else:
        assert "| What | Who | Due | Said at |" in text
        assert "`01:23`" in text
