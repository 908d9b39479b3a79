"""Reading an engine's stream as it passes: whole events to the client, tokens to the meter, no extras nobody asked for.

A picture: the conductor who counts heads as people board and collects the notes meant for him. An event is only parsed
when its count is needed; on the way it is searched and cut as bytes, because a stream has hundreds of events and a
gateway thousands of streams. Searching for `"timings":` is safe in JSON: within a string the quotes would be escaped.

It knows no sockets.
"""

from __future__ import annotations

import json
from typing import Any

from eke.gateway.ask import Ask
from eke.gateway.dialect import Dialect, Tokens, from_usage

_DECODER = json.JSONDecoder()
DONE = b"data: [DONE]"
_TEXT = (b'"content":"', b'"text":"', b'"reasoning_content":"', b'"arguments":"')
_NO_CHOICE = (b'"choices":[]', b'"choices": []')


class Tally:
    """One stream.

    Args:
        dialect: of the engine that speaks.
        ask: what the client asked for: what it did not ask for is taken out.
    """

    def __init__(self, dialect: Dialect, ask: Ask) -> None:
        self.done = False  # the engine said its last word
        self.failed = False  # that was an error
        self.spoken = False  # it said more than how far it is with the prompt
        self._dialect = dialect
        # Several choices have counts of their own in each event: then events are counted instead.
        self._key = dialect.key.encode() if ask.choices == 1 else b""
        self._progress = b'"%s":' % dialect.progress.encode() if dialect.progress else b""
        own = _own(dialect, ask)
        self._hidden = "" if own else dialect.key
        self._mark = b',"%s":{' % self._key if self._key else b""
        self._shows_progress = own
        self._shows_usage = ask.wants_usage
        self._rest = b""
        self._events = 0
        self._last: bytes | None = None
        self._final: Tokens | None = None

    def feed(self, chunk: bytes) -> bytes:
        """Bytes of the engine in, whole events for the client out."""
        data = self._rest + chunk if self._rest else chunk
        if 0 <= data.find(b"\n\n") == len(data) - 2 and b"\r" not in data:  # one whole event, as nearly always
            self._rest = b""
            out = self._event(data[:-2])
            return out + b"\n\n" if out else b""
        if b"\r" in data:
            data = data.replace(b"\r\n", b"\n")
        whole, gap, self._rest = data.rpartition(b"\n\n")
        if not gap:
            return b""
        return b"".join([out + b"\n\n" for event in whole.split(b"\n\n") if (out := self._event(event))])

    def tokens(self) -> Tokens:
        """What was used so far: the engine's own count where it said one, else its events that brought text."""
        if self._final is not None:
            return self._final
        counts = _load(self._last).get(self._dialect.key) if self._last else None
        if isinstance(counts, dict):
            said = self._dialect.read(counts)
            return Tokens(said.prompt, said.cached, max(said.output, self._events))
        return Tokens(output=self._events)

    def _event(self, event: bytes) -> bytes:
        if self._mark and (start := event.find(self._mark)) > 0 and _last_and_flat(event, start):
            self._last, self.spoken = event, True
            return event[:start] + b"}" if self._hidden else event
        if event.startswith(DONE):
            self.done = True
            return event
        if self._progress and self._progress in event:
            self._last = event
            return event if self._shows_progress else b""
        self.spoken = True
        if b'"usage":' in event and any(mark in event for mark in _NO_CHOICE):
            return self._usage(event)
        if event.startswith(b"error:") or (b'"choices"' not in event and b'"error"' in event):
            self.failed = True
            return b"data:" + event.removeprefix(b"error:").removeprefix(b"data:")
        if self._mark and self._mark in event:
            self._last = event
        elif any(mark in event for mark in _TEXT):
            self._events += 1
        return _without(event, self._hidden) if self._hidden else event

    def _usage(self, event: bytes) -> bytes:
        usage = _load(event).get("usage")
        if isinstance(usage, dict):
            self._final = from_usage(usage)
        if not self._shows_usage:
            return b""
        return _without(event, self._hidden) if self._hidden and self._hidden != "usage" else event


def _own(dialect: Dialect, ask: Ask) -> bool:
    """Whether the client speaks the engine's dialect itself: then it gets everything the engine says."""
    options = ask.body.get("stream_options") or {}
    return any(ask.body.get(s) for s in dialect.switches) or any(options.get(s) for s in dialect.stream_switches)


def _load(event: bytes) -> dict[str, Any]:
    """The JSON object of an event; empty if it is none."""
    try:
        value = json.loads(event.partition(b"data:")[2])
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _last_and_flat(event: bytes, start: int) -> bool:
    """Whether the object at `start` is plain, ends the event, and the event is one that brings a choice."""
    return event.endswith(b"}}") and event.find(b"}", start) == len(event) - 2 and _NO_CHOICE[0] not in event


def _without(event: bytes, key: str) -> bytes:
    """The event less one key of its object: cut out as bytes where it is flat and not first, else parsed."""
    mark = b',"%s":{' % key.encode()
    start = event.find(mark)
    if start >= 0:
        stop = event.find(b"}", start)
        if event.find(b"{", start + len(mark), stop) < 0:
            return event[:start] + event[stop + 1 :]
    elif b'"%s"' % key.encode() not in event:
        return event
    value = _load(event)
    if key not in value:
        return event
    del value[key]
    return b"data: " + json.dumps(value, separators=(",", ":")).encode()


def whole(body: bytes) -> Tokens:
    """What an answer in one piece says it used; its last `usage` object is read without parsing the rest."""
    start = body.rfind(b'"usage":')
    if start < 0:
        return Tokens()
    try:
        usage, _ = _DECODER.raw_decode(body[start + 8 :].decode(errors="replace").lstrip())
    except ValueError:
        return Tokens()
    return from_usage(usage) if isinstance(usage, dict) else Tokens()
