"""How each engine tells token counts while it is still speaking, one row an engine. It knows no HTTP.

llama.cpp puts `timings` into every event when `timings_per_token` is set, and sends events with `prompt_progress`
while it reads the prompt; vLLM and SGLang put `usage` into every event when `stream_options.continuous_usage_stats` is
set. An engine without a row is counted by its events that bring text, until its usage event at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from eke.gateway.ask import Ask


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a request has used so far. `prompt` includes `cached`."""

    prompt: int = 0
    cached: int = 0
    output: int = 0


def from_usage(usage: Mapping[str, Any]) -> Tokens:
    """OpenAI's `usage` object."""
    details = usage.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, Mapping) else 0
    return Tokens(_count(usage.get("prompt_tokens")), _count(cached), _count(usage.get("completion_tokens")))


def from_timings(timings: Mapping[str, Any]) -> Tokens:
    """llama.cpp's `timings`: `prompt_n` counts only what the cache did not hold."""
    cached = _count(timings.get("cache_n"))
    return Tokens(_count(timings.get("prompt_n")) + cached, cached, _count(timings.get("predicted_n")))


def _count(value: object) -> int:
    return value if isinstance(value, int) and value > 0 else 0


@dataclass(frozen=True, slots=True)
class Dialect:
    """One engine's way to say counts within a stream.

    Attributes:
        key: of the object in an event that holds the counts; empty: there is none.
        read: that object as `Tokens`.
        switches: fields of the body that make it speak so.
        stream_switches: the same within `stream_options`.
        progress: key that marks an event about reading the prompt, without any text.
    """

    key: str = ""
    read: Callable[[Mapping[str, Any]], Tokens] = from_usage
    switches: Mapping[str, Any] = field(default_factory=dict)
    stream_switches: Mapping[str, Any] = field(default_factory=dict)
    progress: str = ""

    def body(self, ask: Ask, model: str) -> dict[str, Any]:
        """The request as this engine shall see it: the model's own name, and the switches when it streams."""
        body = ask.body | {"model": model}
        if ask.stream:
            asked = ask.body.get("stream_options") or {}
            options = {**asked, "include_usage": True, **self.stream_switches}
            body |= {**self.switches, "stream_options": options}
        return body


_LLAMACPP = Dialect(
    key="timings",
    read=from_timings,
    switches={"timings_per_token": True, "return_progress": True},
    progress="prompt_progress",
)
_VLLM = Dialect(key="usage", stream_switches={"continuous_usage_stats": True})
_PLAIN = Dialect()

DIALECTS: dict[str, Dialect] = {"llamacpp": _LLAMACPP, "mock": _LLAMACPP, "vllm": _VLLM, "sglang": _VLLM}


def of(engine: str) -> Dialect:
    """The dialect of `engine`, or the plain one when it has no row."""
    return DIALECTS.get(engine, _PLAIN)
