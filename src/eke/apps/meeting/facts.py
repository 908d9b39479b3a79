"""What was decided and who will do what: every line is labelled, every labelled line read once more. The map step.

The model only points at lines and fills a flat form; what it says is held against the lines it points at:

- a task that shares too few words with them is replaced by their own words;
- an owner or a date that they do not say becomes None.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Literal

from pydantic import BaseModel, Field

from eke.apps import grounding
from eke.apps.client import Client, Reply
from eke.apps.meeting import prompts
from eke.apps.meeting.transcript import Line
from eke.apps.structured import Unusable, ask

Kind = Literal["action", "decision"]

MARGIN = 0.75  # log-probability by which a label must beat `other`; both test meetings lose nothing up to 0.8
SUPPORT = 0.5  # share of a task's words that its lines must have
_ADDRESS = frozenset("you your du sie ihr vous tu usted ustedes 你 您 你们".split())  # noqa: SIM905
_GROUP = frozenset("we us let's wir nous nosotros 我们 咱们".split())  # noqa: SIM905
_HEDGE = frozenset("would could might maybe perhaps think suggest propose proposal würde könnte".split())  # noqa: SIM905
_PROMISE = re.compile(r"\bI(?:['’]ll| will| can|['’]m going to| am going to| promise)\b")
_POINTER = frozenset("that it this so them those".split())  # noqa: SIM905
_QUESTION = re.compile(r"[?？]\s*$")
_NAME = re.compile(r"(?<=[a-z,;] )[A-Z][a-zà-ÿ]+\b")  # a capital inside a sentence


@dataclass(frozen=True, slots=True)
class Fact:
    """A decision or an action, with the lines that say it.

    Attributes:
        text: of a decision its own words, of an action the task.
        owner, due: only if said.
    """

    kind: Kind
    text: str
    lines: tuple[Line, ...]
    owner: str | None = None
    due: str | None = None

    @property
    def start(self) -> float | None:
        """When it was said: of an agreement in two lines, the last."""
        return self.lines[-1].start

    @property
    def quote(self) -> str:
        """The words it rests on."""
        return "\n".join(map(str, self.lines))


class Task(BaseModel):
    """The form of one action."""

    task: str = Field(min_length=3, max_length=200)
    owner: str | None
    due: str | None


async def marked(
    client: Client, lines: Sequence[Line], step: Callable[[], None] = lambda: None
) -> list[tuple[Kind, tuple[Line, ...]]]:
    """Lines that hold an action or a decision; a request and its answer are one. `step` is called once a line."""

    async def one(line: Line) -> Kind | None:
        label = await _label(client, line)
        step()
        return label

    return _joined(lines, await asyncio.gather(*map(one, lines)))


async def fact(client: Client, kind: Kind, lines: tuple[Line, ...]) -> Fact:
    """One fact out of the lines that were marked for it."""
    own_words = (
        lines[-1].text
        if kind == "decision"
        else " ".join(line.text for line in lines if not _asks(line)) or lines[0].text
    )
    if kind == "decision":
        return Fact(kind, own_words, lines)
    try:
        said = "\n".join(map(str, lines))
        form = await ask(client, prompts.task(said), Task, schema=_form(lines), max_tokens=96)
    except Unusable:
        return Fact(kind, own_words, lines)
    return checked(Fact(kind, form.task.strip(), lines, form.owner, form.due), own_words)


def checked(fact: Fact, own_words: str) -> Fact:
    """The same fact without what its lines do not say."""
    said = " ".join(line.text for line in fact.lines)
    supported = grounding.support(fact.text, said) >= SUPPORT and grounding.numbers(fact.text) <= grounding.numbers(
        said
    )
    text = fact.text if supported else own_words
    return Fact(fact.kind, text, fact.lines, _owner(fact), _due(replace(fact, text=text), said))


def _owner(fact: Fact) -> str | None:
    """Who says `I will` owns it; else whom the model names, if the lines do."""
    last = fact.lines[-1]
    if last.turn.speaker and _PROMISE.search(last.text):
        return last.turn.speaker
    return fact.owner if fact.owner and _owns(fact.owner, fact.lines) else None


def _due(fact: Fact, said: str) -> str | None:
    """The date the model names, else the only one in its task; in either case one that the lines say."""
    in_task = grounding.dates(fact.text)
    due = fact.due or (in_task[0] if len(in_task) == 1 else None)
    return due if due and grounding.says_date(said, due) else None


def _owns(owner: str, lines: Iterable[Line]) -> bool:
    """Whether a line names the owner, or the owner says `I` in it."""
    return any(
        grounding.says_name(line.text, owner) or (line.turn.speaker == owner and grounding.speaks_of_self(line.text))
        for line in lines
    )


def _form(lines: Sequence[Line]) -> Mapping[str, Any]:
    """The form with only such owners and dates to choose from as the lines offer."""
    said = " ".join(line.text for line in lines)
    speakers = [line.turn.speaker for line in lines if line.turn.speaker and grounding.speaks_of_self(line.text)]
    dates = grounding.dates(said)
    when = set(grounding.words(" ".join(dates)))
    named = [n for n in _NAME.findall(said) if n.casefold() not in when]
    named += grounding.names_in(said, {line.turn.speaker for line in lines if line.turn.speaker})
    return {
        "type": "object",
        "properties": {
            "task": {"type": "string", "minLength": 3, "maxLength": 160},
            "owner": {"enum": [*dict.fromkeys(speakers + named), None]},
            "due": {"enum": [*dict.fromkeys(dates), None]},
        },
        "required": ["task", "owner", "due"],
        "additionalProperties": False,
    }


async def _label(client: Client, line: Line) -> Kind | None:
    """The label of one line; None for talk."""
    if len(grounding.content(line.text)) < 2 and not _PROMISE.search(line.text):
        return None  # `Agreed.` and `Thank you` hold nothing to write down
    reply = await client.chat(prompts.label(str(line)), max_tokens=3, first=12)
    return _allowed(_likeliest(reply), line)


def _allowed(kind: Kind | None, line: Line) -> Kind | None:
    """A label that the line's own words do not speak against: questions and proposals decide nothing."""
    said = set(grounding.words(line.text))
    if kind == "action" and said & _GROUP and not grounding.speaks_of_self(line.text) and not _addressed(line):
        kind = "decision"  # `we` do it: nobody in particular has promised
    if kind == "action" and _asks(line) and not _addressed(line):
        return None
    first = line.turn.id == 0  # whoever opens a meeting says what is to be decided
    return None if kind == "decision" and (first or _asks(line) or said & _HEDGE) else kind


def _likeliest(reply: Reply) -> Kind | None:
    score = dict.fromkeys(prompts.LABELS, -20.0)
    for token, logprob in (reply.first or {}).items():
        for label in score:
            if (word := token.strip().casefold()) and label.startswith(word):
                score[label] = max(score[label], logprob)
    if not reply.first:  # an engine that gives no probabilities: its word counts
        score |= {label: 0.0 for label in score if reply.text.strip().casefold().startswith(label)}
    kind: Kind = "action" if score["action"] > score["decision"] else "decision"
    return kind if score[kind] - score["other"] >= MARGIN else None


def _asks(line: Line) -> bool:
    return bool(_QUESTION.search(line.text))


def _addressed(line: Line) -> bool:
    """Whether the line speaks to somebody: `can you …`, `Chen, …`."""
    return bool(_ADDRESS & set(grounding.words(line.text))) or bool(re.match(r"\s*\w+[,，]", line.text))


def _joined(lines: Sequence[Line], labels: Sequence[Kind | None]) -> list[tuple[Kind, tuple[Line, ...]]]:
    """Marked lines with what they need to be understood: the request before a promise, the line `that` points at."""
    asked = {
        i
        for i, (now, then) in enumerate(pairwise(lines))
        if labels[i] == labels[i + 1] == "action"
        and now.turn.id + 1 == then.turn.id
        and (_asks(now) or grounding.says_name(now.text, then.turn.speaker))
    }
    found: list[tuple[Kind, tuple[Line, ...]]] = []
    for i, (line, label) in enumerate(zip(lines, labels, strict=True)):
        if label is None or i in asked:
            continue
        first_sentence = re.split(r"(?<=[.!?])\s", line.text, maxsplit=1)[0]
        points_back = bool(_POINTER & set(grounding.words(first_sentence)))
        vague = label == "action" and points_back and len(grounding.content(first_sentence)) < 2
        before = i > 0 and (i - 1 in asked or vague)
        found.append((label, (lines[i - 1], line) if before else (line,)))
    return found
