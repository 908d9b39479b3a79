# ruff: noqa: E501
"""What the model says of a line is held against the line."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eke.apps import grounding
from eke.apps.client import Client
from eke.apps.meeting import facts
from eke.apps.meeting.facts import Fact, checked
from eke.apps.meeting.transcript import Line, lines, parse


def said(text: str) -> tuple[Line, ...]:
    """The lines of a small talk."""
    return tuple(line for turn in parse(text, "txt").turns for line in lines(turn))


PROMISE = said("Ann: Chen, can you fix the search bug by Wednesday?\nChen: Yes, I will fix it.")


@pytest.mark.parametrize(
    ("owner", "due", "kept"),
    [
        ("Chen", "Wednesday", ("Chen", "Wednesday")),
        (None, None, ("Chen", None)),  # `I will` names its speaker
        ("Dana", "Thursday", ("Chen", None)),
    ],
)
def test_owner_and_due_only_if_said(owner: str | None, due: str | None, kept: tuple[str | None, str | None]) -> None:
    """An owner or a date that the cited lines do not say becomes None."""
    fact = checked(Fact("action", "Fix the search bug", PROMISE, owner, due), "own words")
    assert (fact.owner, fact.due) == kept


def test_nobody_owns_what_somebody_should_do() -> None:
    """The speaker of a wish is not the owner of the task."""
    wish = said("Ben: Somebody should check the alarms in the hall.")
    assert checked(Fact("action", "Check the alarms", wish, "Ben", None), "own words").owner is None


@pytest.mark.parametrize("text", ["Order a new printer", "Fix the search bug in 3 days"])
def test_unsupported_tasks_become_quotes(text: str) -> None:
    """A task in other words, or with a figure nobody said, gives way to the line itself."""
    assert checked(Fact("action", text, PROMISE), "Yes, I will fix it.").text == "Yes, I will fix it."


@given(st.text(), st.none() | st.text(), st.none() | st.text())
def test_nothing_unsaid_gets_through(text: str, owner: str | None, due: str | None) -> None:
    """Whatever a model writes, what is left of it is in the lines."""
    fact = checked(Fact("action", text, PROMISE, owner, due), "Yes, I will fix it.")
    spoken = " ".join(line.text for line in PROMISE)
    assert fact.owner in ("Chen", "Ann", None)
    assert fact.due is None or fact.due in spoken
    assert grounding.support(fact.text, spoken) >= facts.SUPPORT


def labelled(labels: dict[str, str]) -> Any:
    """A model that knows the label of some lines, and fills every form with the first thing it may."""

    def answer(body: dict[str, Any]) -> Any:
        asked = body["messages"][-1]["content"]
        if "response_format" in body:
            offered = body["response_format"]["json_schema"]["schema"]["properties"]
            form = {
                "task": asked.split(": ", 1)[1],
                "owner": offered["owner"]["enum"][0],
                "due": offered["due"]["enum"][0],
            }
            return json.dumps(form)
        label = next((v for k, v in labels.items() if k in asked), "other")
        top = [{"token": t, "logprob": 0.0 if t == label else -5.0} for t in ("action", "decision", "other")]
        return {"choices": [{"message": {"content": label}, "logprobs": {"content": [{"top_logprobs": top}]}}]}

    return answer


async def test_request_and_promise_are_one(served: Any) -> None:
    """A request and the answer to it are one action that cites both lines."""
    served.answer = labelled({"can you fix": "action", "I will fix": "action"})
    async with Client(served.url, app="test") as client:
        ((kind, cited),) = await facts.marked(client, PROMISE)
        fact = await facts.fact(client, kind, cited)
    assert [line.turn.id for line in cited] == [0, 1]
    assert (fact.owner, fact.due) == ("Chen", "Wednesday")


async def test_openings_questions_and_proposals_decide_nothing(served: Any) -> None:
    """However sure the model is, an opening, a question or a `would` is no decision."""
    served.answer = labelled({":": "decision"})
    talk = said(
        "Dana: Today we decide about the shop.\nAnn: Shall we open the shop on Monday?\nBen: I would open the shop on Tuesday.\nAnn: Then we open the shop on Tuesday."
    )
    async with Client(served.url, app="test") as client:
        marks = await facts.marked(client, talk)
    assert [(kind, cited[0].turn.id) for kind, cited in marks] == [("decision", 3)]


async def test_a_label_must_be_sure(served: Any) -> None:
    """A label that hardly beats `other` does not count; one without any probability counts as said."""
    close = [{"token": t, "logprob": p} for t, p in (("action", -0.9), ("other", -1.2))]
    served.answer = lambda _b: {
        "choices": [{"message": {"content": "action"}, "logprobs": {"content": [{"top_logprobs": close}]}}]
    }
    line = said("Ann: I will open the shop tomorrow.")
    async with Client(served.url, app="test") as client:
        assert await facts.marked(client, line) == []
        served.answer = lambda _b: "action"
        assert [kind for kind, _ in await facts.marked(client, line)] == ["action"]


async def test_only_what_is_said_may_be_chosen(served: Any) -> None:
    """The form offers the names and dates of the lines, and nothing else."""
    served.answer = lambda _b: '{"task": "check the alarms", "owner": null, "due": null}'
    async with Client(served.url, app="test") as client:
        await facts.fact(client, "action", said("Ben: Please ask Sofia to check the alarms tomorrow."))
    offered = served.asked[0]["response_format"]["json_schema"]["schema"]["properties"]
    assert offered["owner"]["enum"] == ["Sofia", None]
    assert offered["due"]["enum"] == ["tomorrow", None]
