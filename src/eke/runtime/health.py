"""Who answers: health checks beside the controller's loop, so that a process that hangs never makes the loop hang.

A check is a GET on 127.0.0.1 that must give 200; what it says is not read.
"""

from __future__ import annotations

import http.client
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from eke.runtime.base import Handle
from eke.runtime.decide import Pace

CHECKERS = 8  # checks under way at once


@dataclass(slots=True)
class _Checked:
    asked_at: float = float("-inf")
    answer: Future[str] | None = None
    failures: int = 0
    healthy: bool | None = None
    why: str = ""


@dataclass
class Health:
    """The latest answer of every process that is checked."""

    pace: Pace
    _checked: dict[Handle, _Checked] = field(default_factory=dict)
    _pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(CHECKERS, "health"))

    def see(self, handle: Handle, path: str, now: float) -> tuple[bool | None, str]:
        """What is known of a process now, and ask again when it is time: (healthy, why not)."""
        checked = self._checked.setdefault(handle, _Checked())
        if checked.answer is not None and checked.answer.done():
            self._learn(checked, checked.answer.result())
        if checked.answer is None and not 0 <= now - checked.asked_at < self.pace.check_s:
            checked.asked_at = now
            checked.answer = self._pool.submit(ask, handle.port or 0, path, self.pace.check_timeout_s)
        return checked.healthy, checked.why

    def forget(self, alive: set[Handle]) -> None:
        """Keep only what is known of those still alive."""
        self._checked = {handle: checked for handle, checked in self._checked.items() if handle in alive}

    def close(self) -> None:
        """Ask nobody any more."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _learn(self, checked: _Checked, why: str) -> None:
        checked.answer, checked.why = None, why
        checked.failures = checked.failures + 1 if why else 0
        if not why:
            checked.healthy = True
        elif checked.failures >= self.pace.checks_failed:
            checked.healthy = False


def ask(port: int, path: str, timeout_s: float) -> str:
    """Why a process is not healthy; empty when it is."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)
    try:
        connection.request("GET", path, headers={"Connection": "close"})
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return f"GET {path} on port {port}: {str(error) or type(error).__name__}"
    finally:
        connection.close()
    return "" if status == 200 else f"GET {path} on port {port}: status {status}"
