"""An answer that fits a schema: asked for, checked here too (not every engine holds to it), repaired once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from eke.apps.client import Client, Message
from eke.errors import EkeError

Answer = TypeVar("Answer", bound=BaseModel)


class Unusable(EkeError):
    """The model's answer does not fit the schema, twice over."""


async def ask(
    client: Client,
    messages: Sequence[Message],
    shape: type[Answer],
    *,
    schema: Mapping[str, Any] | None = None,
    max_tokens: int = 256,
) -> Answer:
    """An answer of that shape; when the first does not fit, the model sees why and may correct itself once.

    Args:
        client: whom to ask.
        messages: the question.
        shape: what the answer is read into.
        schema: a narrower one than the shape's own, for this question only.
        max_tokens: of the answer.
    """
    schema = schema or shape.model_json_schema()
    reply = await client.chat(messages, schema=schema, max_tokens=max_tokens)
    try:
        return shape.model_validate_json(_bare(reply.text))
    except ValidationError as error:
        fault = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'answer'}: {e['msg']}" for e in error.errors()[:3])
    again = [
        *messages,
        {"role": "assistant", "content": reply.text[:2000]},
        {"role": "user", "content": f"That does not fit: {fault}. Answer again, only with the corrected JSON."},
    ]
    reply = await client.chat(again, schema=schema, max_tokens=2 * max_tokens)
    try:
        return shape.model_validate_json(_bare(reply.text))
    except ValidationError as error:
        raise Unusable("the model's answer could not be read", why=fault, remedy="a larger model") from error


def _bare(text: str) -> str:
    """Without the fence that some models put around JSON."""
    text = text.strip()
    return (
        text.removeprefix("```json").removeprefix("```").removesuffix("```").strip() if text.startswith("```") else text
    )
