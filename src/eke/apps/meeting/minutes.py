"""From a transcript to minutes: cut into parts, ask about each (map), put together (reduce), nothing lost on the way.

A part whose answers cannot be had stands in the minutes as missing, with the reason; it is never left out.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain

from eke.apps import grounding
from eke.apps.client import Client, ContextTooLong, Message
from eke.apps.meeting import facts, prompts
from eke.apps.meeting.facts import Fact, Kind
from eke.apps.meeting.transcript import Cue, Line, Transcript, Turn, lines
from eke.apps.portions import pack
from eke.errors import EkeError

PART_TOKENS = 400  # about two minutes of talk: of longer parts a small model sums up only the beginning
SENTENCES = 3  # of an answer; what comes later in a small model's answer is the transcript again
ANSWER_TOKENS = 160
OVERVIEW_WORDS = 120  # as much as one reads at a glance; making it shorter loses more than it saves
SUPPORT = 0.6  # share of a sentence's words that the part it sums up must have
_SENTENCE = re.compile(r"(?<=[.!?])\s+|(?<=[。！？])|\n+")
_BULLET = re.compile(r"^\s*(?:[-*•]|\d+[.)])\s+")

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, slots=True)
class Part:
    """Neighbouring turns, and what the model made of them.

    Attributes:
        summary: None when no sentence of it held against the transcript.
        missing: why nothing could be had of this part; empty when all went well.
    """

    turns: tuple[Turn, ...]
    marks: tuple[tuple[Kind, tuple[Line, ...]], ...] = ()
    facts: tuple[Fact, ...] = ()
    summary: str | None = None
    missing: str = ""

    @property
    def start(self) -> float | None:
        """When it begins."""
        return self.turns[0].start

    @property
    def end(self) -> float | None:
        """When it ends, as far as anybody knows."""
        return self.turns[-1].end or self.turns[-1].start

    def __str__(self) -> str:
        return "\n".join(map(str, self.turns))


@dataclass(frozen=True, slots=True)
class Minutes:
    """What stays of a meeting."""

    transcript: Transcript
    model: str
    parts: tuple[Part, ...]
    summary: str | None = None
    decisions: tuple[Fact, ...] = field(default=())
    actions: tuple[Fact, ...] = field(default=())


async def write(client: Client, transcript: Transcript, progress: Progress = lambda _done, _of, _what: None) -> Minutes:
    """The minutes of a transcript.

    Raises:
        EkeError: nothing could be had of any part; the first reason is given.
    """
    model = await client.model()
    parts = await cut(client, transcript)
    asked = sum(len(lines(t)) for t in transcript.turns)
    steps = _Steps(progress, asked + 4 * len(parts))
    parts = [await _attempt(p, _mark(client, p, steps)) for p in parts]
    steps.total = asked + sum(len(p.marks) + 1 for p in parts)
    parts = [await _attempt(p, _read(client, p, steps)) for p in parts]
    parts = [await _attempt(p, _sum_up(client, p, steps)) for p in parts]
    if all(p.missing for p in parts):
        raise EkeError(
            "no part of the meeting could be read", why=parts[0].missing, remedy="`eke status`, then try again"
        )
    found = list(chain.from_iterable(p.facts for p in parts))
    return Minutes(
        transcript,
        model,
        tuple(parts),
        await _overview(client, parts),
        tuple(_distinct(f for f in found if f.kind == "decision")),
        tuple(_distinct(f for f in found if f.kind == "action")),
    )


async def cut(client: Client, transcript: Transcript) -> list[Part]:
    """Parts that leave room for question and answer; no turn is cut, unless it is longer than a part."""
    budget = min(PART_TOKENS, await client.context() - 2 * ANSWER_TOKENS)
    if budget < ANSWER_TOKENS:
        raise EkeError(
            f"the model's context is too short: {budget} tokens are left for the transcript", remedy="--model"
        )
    turns = [piece for turn in transcript.turns for piece in await _pieces(client, turn, budget)]
    sizes = [await client.count(f"{turn}\n") for turn in turns]
    return [Part(tuple(turns[i] for i in run)) for run in pack(sizes, budget)]


class _Steps:
    """Counts questions answered, of how many."""

    def __init__(self, progress: Progress, total: int) -> None:
        self.done, self.total, self._progress = 0, total, progress

    def step(self, what: str) -> None:
        self.done += 1
        self._progress(min(self.done, self.total), self.total, what)


async def _pieces(client: Client, turn: Turn, budget: int) -> list[Turn]:
    """The turn itself; a speech longer than any part, at its sentences (all pieces keep its id)."""
    if await client.count(str(turn)) <= budget:
        return [turn]
    said = [Cue(line.start, turn.end, line.text) for line in lines(turn)]
    sizes = [await client.count(f"{turn.speaker}: {cue.text}\n") for cue in said]
    return [Turn(turn.id, turn.speaker, tuple(said[i] for i in run)) for run in pack(sizes, budget)]


async def _attempt(part: Part, work: Awaitable[Part]) -> Part:
    try:
        return await work
    except EkeError as error:
        return replace(part, missing=f"{error.what}{f' ({error.why})' if error.why else ''}")


async def _mark(client: Client, part: Part, steps: _Steps) -> Part:
    said = [line for turn in part.turns for line in lines(turn)]
    marks = await facts.marked(client, said, lambda: steps.step("reading every line"))
    return replace(part, marks=tuple(marks))


async def _read(client: Client, part: Part, steps: _Steps) -> Part:
    found = []
    for kind, said in () if part.missing else part.marks:
        found.append(await facts.fact(client, kind, said))
        steps.step("decisions and actions")
    return replace(part, facts=tuple(found))


async def _sum_up(client: Client, part: Part, steps: _Steps) -> Part:
    if part.missing:
        return part
    summary = await _summary(client, part.turns)
    steps.step("summing up")
    return replace(part, summary=summary)


async def _summary(client: Client, turns: Sequence[Turn]) -> str | None:
    """Two sentences; of two halves when the engine counts more tokens than we did."""
    text = "\n".join(map(str, turns))
    try:
        return await _sentences(client, prompts.summary(text), turns)
    except ContextTooLong:
        if len(turns) == 1:
            raise
        half = len(turns) // 2
        halves = [await _summary(client, turns[:half]), await _summary(client, turns[half:])]
        return " ".join(filter(None, halves)) or None


async def _overview(client: Client, parts: Sequence[Part]) -> str | None:
    """The whole meeting: the parts' summaries while they are short, else the summary of their summaries, by tens."""
    notes = [p.summary for p in parts if p.summary]
    while len(notes) > 1 and sum(len(n.split()) for n in notes) > OVERVIEW_WORDS:
        groups = [notes[i : i + 10] for i in range(0, len(notes), 10)]
        notes = [await _condensed(client, " ".join(group)) for group in groups]
    return " ".join(notes) or None


async def _condensed(client: Client, notes: str) -> str:
    """Notes in a few sentences, or as they are when no sentence holds against them."""
    try:
        return await _sentences(client, prompts.overview(notes), [Turn(0, "", (Cue(None, None, notes),))]) or notes
    except EkeError:
        return notes


async def _sentences(client: Client, messages: Sequence[Message], source: Sequence[Turn]) -> str | None:
    """The first sentences of the answer, those the source supports; a last one that was cut off does not count."""
    reply = await client.chat(messages, max_tokens=ANSWER_TOKENS)
    said = [_BULLET.sub("", s) for s in _SENTENCE.split(reply.text.strip())]
    whole = said[:-1] if reply.finish == "length" else said
    return " ".join(dict.fromkeys(s for s in whole[:SENTENCES] if supported(s, source))) or None


def supported(sentence: str, source: Sequence[Turn]) -> bool:
    """Whether the source has most of the words and all figures, and whom the sentence names said so or was told."""
    text = "\n".join(map(str, source))
    named = set(grounding.names_in(sentence, {t.speaker for t in source if t.speaker}))
    theirs = (
        "\n".join(map(str, (t for t in source if t.speaker in named or grounding.names_in(t.text, named))))
        if named
        else text
    )
    return grounding.support(sentence, theirs) >= SUPPORT and grounding.numbers(sentence) <= grounding.numbers(text)


def _distinct(found: Iterable[Fact]) -> list[Fact]:
    """Each fact once: what repeats an earlier one almost word for word is left to the earlier."""
    kept: list[Fact] = []
    for fact in found:
        said = grounding.content(fact.text)
        if not any(_same(said, grounding.content(k.text)) for k in kept):
            kept.append(fact)
    return kept


def _same(a: set[str], b: set[str]) -> bool:
    return len(a & b) > 0.8 * len(a | b)
