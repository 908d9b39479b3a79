"""Bodies are understood or refused with the field named; never anything else."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eke.gateway import ask
from eke.gateway.refusal import Refusal

CHAT = "/v1/chat/completions"
GOOD = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
FIELDS = st.sampled_from(["model", "messages", "prompt", "input", *ask.OPTIONAL])


@given(st.sampled_from(list(ask.REQUIRED)), st.dictionaries(FIELDS, JSON), st.booleans())
def test_any_json_is_understood_or_refused(path: str, fields: dict[str, object], good: bool) -> None:
    """Whatever the fields hold, the answer is an `Ask` or a refusal with 400 and a message."""
    body = (GOOD | {"prompt": "p", "input": "i"} if good else {}) | fields
    found: ask.Ask | Refusal
    try:
        found = ask.read(path, json.dumps(body).encode())
    except Refusal as refusal:
        found = refusal
    if isinstance(found, ask.Ask):
        assert isinstance(found.wants_usage, bool)
        assert found.name == body["model"]
    else:
        assert (found.status, bool(found.message)) == (400, True)


@given(st.binary(max_size=60))
def test_any_bytes(raw: bytes) -> None:
    """Bytes that are no JSON object are refused with 400."""
    with pytest.raises(Refusal) as caught:
        ask.read(CHAT, raw)
    assert caught.value.status == 400


@pytest.mark.parametrize(
    "raw",
    [b"[" * 100_000, b'{"a":' * 50_000, b"9" * 10_000, b'{"a":NaN}', b'"\xff"', b"\xff\xfe", b"", b"{'a':1}"],
    ids=range(8),
)
def test_hostile_bytes(raw: bytes) -> None:
    """Deep nesting, huge numbers, NaN and broken text are refused with 400."""
    with pytest.raises(Refusal) as caught:
        ask.read(CHAT, raw)
    assert (caught.value.status, caught.value.code) == (400, "invalid_json")


@pytest.mark.parametrize(
    ("field", "value"),
    [("messages", None), ("messages", "hi"), ("messages", [{}]), ("messages", [1]), ("stream", "yes"), ("n", 0),
     ("n", True), ("max_tokens", "9"), ("temperature", "hot"), ("stream_options", 1), ("stop", 3), ("model", 5)],
)  # fmt: skip
def test_wrong_types_name_the_field(field: str, value: object) -> None:
    """The refusal names the field, what was found and what was expected."""
    with pytest.raises(Refusal, match=f"`{field}` must be") as caught:
        ask.read(CHAT, json.dumps(GOOD | {field: value}).encode())
    assert caught.value.param == field


def test_nulls_count_as_not_given() -> None:
    """Clients that send every field as null are served."""
    read = ask.read(CHAT, json.dumps(GOOD | dict.fromkeys(ask.OPTIONAL)).encode())
    assert (read.stream, read.choices, read.wants_usage) == (False, 1, False)
