"""What a client asks: the body of a request, read and checked before any engine sees it.

Only what the gateway must understand is checked, and the types whose misuse makes engines fail; the rest is the
engine's to judge. It does not know which models exist.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

from eke.gateway.refusal import Refusal


@dataclass(frozen=True, slots=True)
class Ask:
    """One request as the gateway understands it.

    Attributes:
        path: on the engine, `/v1/chat/completions`.
        name: the model or workload asked for.
        body: the parsed body.
        raw: the bytes as they came.
        stream: whether the answer comes in events.
        choices: answers to one prompt (`n`).
    """

    path: str
    name: str
    body: dict[str, Any]
    raw: bytes
    stream: bool
    choices: int

    @property
    def wants_usage(self) -> bool:
        """Whether the client itself asked for the usage event at the end."""
        return bool((self.body.get("stream_options") or {}).get("include_usage"))


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_messages(value: object) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(m, dict) and isinstance(m.get("role"), str) for m in value)
    )


def _is_text(value: object) -> bool:
    return isinstance(value, (str, list)) and value != []


Check = tuple[Callable[[object], bool], str]

NUMBER: Check = (_is_number, "a number")
INTEGER: Check = (_is_int, "an integer")
OBJECT: Check = (lambda v: isinstance(v, dict), "an object")
LIST: Check = (lambda v: isinstance(v, list), "a list")
BOOLEAN: Check = (lambda v: isinstance(v, bool), "true or false")

# field → what it must be where it is given; null counts as not given.
OPTIONAL: dict[str, Check] = {
    "stream": BOOLEAN, "stream_options": OBJECT, "logit_bias": OBJECT, "response_format": OBJECT,
    "max_tokens": INTEGER, "max_completion_tokens": INTEGER, "seed": INTEGER,
    "temperature": NUMBER, "top_p": NUMBER, "frequency_penalty": NUMBER, "presence_penalty": NUMBER,
    "n": (lambda v: _is_int(v) and 1 <= v <= 128, "an integer from 1 to 128"),  # type: ignore[operator]
    "stop": (lambda v: isinstance(v, (str, list)), "a string or a list of strings"),
    "tools": LIST,
}  # fmt: skip

MESSAGES: Check = (_is_messages, "a list, not empty, of objects with a `role`")
TEXT: Check = (_is_text, "a string or a list, not empty")

# path → the field it cannot do without.
REQUIRED: dict[str, tuple[str, Check]] = {
    "/v1/chat/completions": ("messages", MESSAGES),
    "/v1/completions": ("prompt", TEXT),
    "/v1/embeddings": ("input", TEXT),
}


def read(path: str, raw: bytes) -> Ask:
    """The request in `raw`, sent to `path`.

    Raises:
        Refusal: 400, naming the field, what was found and what was expected.
    """
    body = _parse(raw)
    name = body.get("model")
    if not isinstance(name, str) or not name:
        raise Refusal(
            400, "`model` must be the name of a model; GET /v1/models lists them", "invalid_model", param="model"
        )
    field, check = REQUIRED[path]
    _check(field, body.get(field), check)
    for field, check in OPTIONAL.items():
        if body.get(field) is not None:
            _check(field, body[field], check)
    return Ask(path, name, body, raw, bool(body.get("stream")), body.get("n") or 1)


def _check(field: str, value: object, check: Check) -> None:
    holds, expected = check
    if not holds(value):
        found = "it is missing" if value is None else f"found {json.dumps(value)[:60]}"
        raise Refusal(400, f"`{field}` must be {expected}; {found}", "invalid_value", param=field)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _parse(raw: bytes) -> dict[str, Any]:
    try:
        body = json.loads(raw, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise Refusal(400, f"the body is not JSON: {error}", "invalid_json") from None
    if not isinstance(body, dict):
        raise Refusal(400, "the body must be a JSON object", "invalid_json")
    return body
