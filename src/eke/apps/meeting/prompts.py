"""The words a model is given: one small question at a time, with examples, for models of half a billion weights.

Measured with Qwen2.5-Coder-0.5B-Instruct: asked for a whole page of minutes it invents owners, dates and
numbers of lines; asked for one word about one line it ranks promises and decisions above talk in 93% to 100% of pairs
(two meetings written for the purpose, 67 lines; `docs/design/apps.md`).
"""

from __future__ import annotations

from eke.apps.client import Message

LABELS = ("action", "decision", "other")

_LABEL = """You label lines from meetings. Answer with one word.
action: somebody will do a task, or is asked to do it.
decision: the group decided or agreed how something will be.
other: questions, facts, opinions, thanks, greetings."""

_LABELLED = (
    ("Eve: Hello all, shall we begin?", "other"),
    ("Max: Yes, I will call them this afternoon.", "action"),
    ("Eve: It is old. I think a new one would be cheaper.", "other"),
    ("Lea: OK, so we agree to buy a new printer in May.", "decision"),
    ("Max: We could move the desk, but then it is in the way.", "other"),
    ("Eve: Max, can you call the repair service today?", "action"),
    ("Lea: How long will it take?", "other"),
    ("Eve: Then it is decided: no meeting next week.", "decision"),
    ("Max: First the printer, then the holidays. The shop opens at nine and it is always full.", "other"),
    ("Lea: Agreed. I can ask two shops for an offer by Monday.", "action"),
    ("Max: That is fine with me. Should we open a window?", "other"),
)

_TASK = (
    "You read lines from a meeting and write down the one task in them as JSON. "
    "Who and when are null unless a line says so."
)

_TASKS = (
    (
        "Eve: Max, can you call the repair service today?\nMax: Yes, I will call them this afternoon.",
        '{"task": "Call the repair service", "owner": "Max", "due": "this afternoon"}',
    ),
    (
        "Lea: Agreed. I can ask two shops for an offer by Monday.",
        '{"task": "Ask two shops for an offer", "owner": "Lea", "due": "Monday"}',
    ),
    (
        "Eve: Somebody has to water the plants in the hall.",
        '{"task": "Water the plants in the hall", "owner": null, "due": null}',
    ),
    (
        "Max: What about the old chairs?\nLea: I will give them to the school.",
        '{"task": "Give the old chairs to the school", "owner": "Lea", "due": null}',
    ),
)

_SUMMARY = "You take the minutes of meetings. You write only what was said, in short sentences, and you name nobody."

_OVERVIEW = "You make a long text short."


def label(line: str) -> list[Message]:
    """Ask for one word about one line."""
    shots = [turn for said, word in _LABELLED for turn in _pair(said, word)]
    return [{"role": "system", "content": _LABEL}, *shots, {"role": "user", "content": line}]


def task(lines: str) -> list[Message]:
    """Ask for the task in a line, or in a question and its answer."""
    shots = [turn for said, answer in _TASKS for turn in _pair(said, answer)]
    return [{"role": "system", "content": _TASK}, *shots, {"role": "user", "content": lines}]


def summary(part: str) -> list[Message]:
    """Ask for what a part of the meeting was about."""
    question = f"{part}\n\nWhat did they talk about, and with what result? Two sentences, without names."
    return [{"role": "system", "content": _SUMMARY}, {"role": "user", "content": question}]


def overview(notes: str) -> list[Message]:
    """Ask for the whole meeting in a few sentences."""
    question = f"{notes}\n\nSummarise this in three sentences."
    return [{"role": "system", "content": _OVERVIEW}, {"role": "user", "content": question}]


def _pair(said: str, answer: str) -> list[Message]:
    return [{"role": "user", "content": said}, {"role": "assistant", "content": answer}]
