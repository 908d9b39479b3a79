"""A request that is not served, in the shape OpenAI's clients expect. It knows status codes, not causes.

400 BadRequestError       what was sent cannot be understood
404 NotFoundError         no such model or path
405, 413                  wrong method, too large
429 RateLimitError        the queue is full; come back after `Retry-After`
502, 503, 504             the engine failed, none is ready, it was silent
"""

from __future__ import annotations

import json


class Refusal(Exception):
    """An error answer.

    Args:
        status: HTTP status.
        message: what, why and what to try, for a person.
        code: a word for programs, as `model_not_found`.
        param: the field of the request at fault.
        retry_after_s: when trying again makes sense.
    """

    def __init__(
        self, status: int, message: str, code: str, *, param: str | None = None, retry_after_s: int | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.code, self.param = status, message, code, param
        self.retry_after_s = retry_after_s

    @property
    def kind(self) -> str:
        """OpenAI's `type` for this status."""
        if self.status == 429:
            return "rate_limit_error"
        return "invalid_request_error" if self.status < 500 else "server_error"

    def body(self) -> bytes:
        """The JSON body."""
        fault = {"message": self.message, "type": self.kind, "param": self.param, "code": self.code}
        return json.dumps({"error": fault}).encode()

    def event(self) -> bytes:
        """The same as the last event of a stream that has begun."""
        return b"data: " + self.body() + b"\n\n"

    def headers(self) -> list[tuple[bytes, bytes]]:
        """What belongs to it beside the body."""
        return [] if self.retry_after_s is None else [(b"retry-after", b"%d" % self.retry_after_s)]
