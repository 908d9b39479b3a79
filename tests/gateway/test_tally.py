"""A stream passes whole and clean, and its tokens are known at every moment."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eke.gateway import dialect, tally
from eke.gateway.ask import Ask
from eke.gateway.dialect import Tokens
from eke.gateway.tally import Tally

CHAT = "/v1/chat/completions"


def asking(**body: Any) -> Ask:
    return Ask(CHAT, "m", {"model": "m", "stream": True, **body}, b"", True, body.get("n", 1))


def event(value: object) -> bytes:
    return b"data: " + json.dumps(value, separators=(",", ":")).encode() + b"\n\n"


def delta(text: str, **more: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": {"content": text}}], "model": "m", **more}


def timings(output: int) -> dict[str, Any]:
    return {"timings": {"cache_n": 2, "prompt_n": 5, "predicted_n": output, "predicted_ms": 1.5}}


def usage(output: int) -> dict[str, Any]:
    return {"usage": {"prompt_tokens": 7, "completion_tokens": output, "prompt_tokens_details": {"cached_tokens": 2}}}


def stream(texts: list[str], counts: Any) -> list[bytes]:
    """An engine's stream: deltas with counts, the usage event, the end."""
    events = [event(delta(text, **counts(i + 1))) for i, text in enumerate(texts)]
    return [*events, event({"choices": [], **usage(len(texts))}), b"data: [DONE]\n\n"]


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(p % (len(data) + 1) for p in places), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(edges)]


NASTY = [
    '"timings":{',
    '","usage":{"a":1}',
    "}\n\ndata: [DONE]",
    '"choices":[]',
    "\r\n\r\n",
    "好😀",
    '"prompt_progress":1',
]
TEXTS = st.lists(st.text(max_size=9) | st.sampled_from(NASTY), max_size=8)


@given(TEXTS, st.lists(st.integers(0, 10_000), max_size=12), st.sampled_from(["llamacpp", "vllm"]))
def test_any_text_cut_anywhere_passes_clean(texts: list[str], places: list[int], engine: str) -> None:
    """Wherever the network cuts the bytes and whatever the text says, the client gets exactly the plain stream."""
    counts = timings if engine == "llamacpp" else usage
    count = Tally(dialect.of(engine), asking())
    out = b"".join(count.feed(part) for part in cut(b"".join(stream(texts, counts)), places))
    assert out == b"".join([*(event(delta(t)) for t in texts), b"data: [DONE]\n\n"])
    assert count.done
    assert not count.failed
    assert count.tokens() == Tokens(7, 2, len(texts))


@given(st.integers(0, 8), st.sampled_from(["llamacpp", "vllm", "other"]))
def test_counts_are_exact_wherever_it_ends(seen: int, engine: str) -> None:
    """Broken off after any event, the count is that of the text delivered."""
    counts = {"llamacpp": timings, "vllm": usage, "other": lambda _: {}}[engine]
    count = Tally(dialect.of(engine), asking())
    for part in stream(["a"] * 8, counts)[:seen]:
        count.feed(part)
    assert count.tokens().output == seen
    assert count.tokens().prompt == (0 if engine == "other" or not seen else 7)


@pytest.mark.parametrize("engine", ["llamacpp", "vllm"])
def test_usage_is_shown_when_asked(engine: str) -> None:
    """Who asked for usage gets that event whole, and still no counts in the others."""
    counts = timings if engine == "llamacpp" else usage
    count = Tally(dialect.of(engine), asking(stream_options={"include_usage": True}))
    out = count.feed(b"".join(stream(["a", "b"], counts)))
    assert out == b"".join(
        [event(delta("a")), event(delta("b")), event({"choices": [], **usage(2)}), b"data: [DONE]\n\n"]
    )


@pytest.mark.parametrize(
    ("engine", "own"),
    [("llamacpp", {"timings_per_token": True}), ("vllm", {"stream_options": {"continuous_usage_stats": True}})],
)
def test_who_speaks_the_dialect_gets_it_all(engine: str, own: dict[str, Any]) -> None:
    """A client that set the engine's own switch sees the counts in every event."""
    counts = timings if engine == "llamacpp" else usage
    count = Tally(dialect.of(engine), asking(**own))
    assert count.feed(event(delta("a", **counts(1)))) == event(delta("a", **counts(1)))


def test_progress_counts_the_prompt_and_is_hidden() -> None:
    """While llama.cpp reads the prompt, its tokens are counted and the client sees nothing."""
    count = Tally(dialect.of("llamacpp"), asking())
    progress = delta("", **timings(0), prompt_progress={"total": 9, "cache": 2, "processed": 7, "time_ms": 3})
    assert count.feed(event(progress)) == b""
    assert not count.spoken
    assert count.tokens() == Tokens(7, 2, 0)


def test_several_choices_are_counted_by_events() -> None:
    """With n > 1 each choice counts for itself, so events are counted until the usage event says the sum."""
    count = Tally(dialect.of("llamacpp"), asking(n=2))
    for i in range(4):
        count.feed(event({**delta("a", **timings(i // 2 + 1)), "index": i % 2}))
    assert count.tokens().output == 4


@pytest.mark.parametrize("said", [b'data: {"error":{"message":"no"}}\n\n', b'error: {"error":{"message":"no"}}\n\n'])
def test_errors_within_a_stream(said: bytes) -> None:
    """An error the engine says mid-stream reaches the client as OpenAI's error event and is known as a failure."""
    count = Tally(dialect.of("llamacpp"), asking())
    assert b"".join(count.feed(said).split()) == b'data:{"error":{"message":"no"}}'
    assert count.failed


def test_other_spellings() -> None:
    """Spaces, other orders, nested counts and CRLF cost more, and work."""
    count = Tally(dialect.of("vllm"), asking())
    loose = json.dumps({**usage(1), **delta("a")}, indent=None).encode()
    out = count.feed(b"data: " + loose + b"\r\n\r\n") + count.feed(b"data: [DONE]\r\n\r\n")
    assert out == event(delta("a")) + b"data: [DONE]\n\n"


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=5))
def test_nonsense_is_no_fault(data: bytes, places: list[int]) -> None:
    """Whatever an engine says, reading it never raises."""
    count = Tally(dialect.of("llamacpp"), asking())
    for part in cut(data + b"\n\n", places):
        count.feed(part)
    count.tokens()


@pytest.mark.parametrize(
    ("body", "tokens"),
    [
        (json.dumps({"choices": [{"text": '"usage":{'}], **usage(5), "timings": {"a": 1}}).encode(), Tokens(7, 2, 5)),
        (b'{"data":[0.1,0.2],"usage": {"prompt_tokens":3,"total_tokens":3}}', Tokens(3, 0, 0)),
        (b'{"usage":null}', Tokens()),
        (b'{"usage":', Tokens()),
        (b"{}", Tokens()),
    ],
)
def test_whole_answers(body: bytes, tokens: Tokens) -> None:
    """An answer in one piece is counted by its usage object."""
    assert tally.whole(body) == tokens
