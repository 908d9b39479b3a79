"""Answers that fit a schema."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel

from eke.apps.client import Client
from eke.apps.structured import Unusable, ask


class Shape(BaseModel):
    name: str
    count: int


ASKED = [{"role": "user", "content": "how many?"}]


async def test_the_schema_goes_along(served: Any) -> None:
    """The engine is told the schema, and a fenced answer is read all the same."""
    served.answer = lambda _body: '```json\n{"name": "a", "count": 2}\n```'
    async with Client(served.url, app="test") as client:
        assert await ask(client, ASKED, Shape) == Shape(name="a", count=2)
    assert served.asked[0]["response_format"]["json_schema"]["schema"] == Shape.model_json_schema()


async def test_repaired_once(served: Any) -> None:
    """A misfit is shown to the model with its fault; the second answer counts."""
    answers = ['{"name": "a"}', '{"name": "a", "count": 1}']
    served.answer = lambda _body: answers.pop(0)
    async with Client(served.url, app="test") as client:
        assert (await ask(client, ASKED, Shape)).count == 1
    assert "count" in served.asked[1]["messages"][-1]["content"]


async def test_not_twice(served: Any) -> None:
    """Two misfits are an error, not a third try."""
    served.answer = lambda _body: "I would rather not."
    async with Client(served.url, app="test") as client:
        with pytest.raises(Unusable):
            await ask(client, ASKED, Shape)
    assert len(served.asked) == 2
