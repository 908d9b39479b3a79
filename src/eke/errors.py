"""Everything Eke raises for users, in one tree.

    EkeError                      exit 1    something failed that should have worked
    ├── InputError                exit 64   what you wrote cannot be understood
    │   ├── UnitError                       a quantity without, or with a wrong, unit
    │   └── UnknownName                     a chip, model, engine or workload nobody knows
    ├── FleetChanged              exit 2    the plan was made for another stock
    ├── Infeasible                exit 2    what was asked rests on promises that cannot all be kept
    ├── ChecksumMismatch          exit 1    downloaded bytes are not the bytes that were pinned
    └── NotInstalled              exit 1    an optional part is missing, and how to get it

A message says what happened, why, and what to try. An infeasible plan is an answer, not an error.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import ClassVar


class EkeError(Exception):
    """What went wrong, why, and what to try.

    Args:
        what: one line, with the value and the limit.
        why: the cause, if it says more than `what`.
        remedy: what to try, as an imperative.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, what: str, *, why: str = "", remedy: str = "") -> None:
        super().__init__(what)
        self.what, self.why, self.remedy = what, why, remedy

    def __str__(self) -> str:
        return "\n".join(filter(None, (self.what, self.why, self.remedy and f"Try: {self.remedy}")))


class InputError(EkeError, ValueError):
    """What the user wrote cannot be understood or cannot be true."""

    exit_code = 64


class UnitError(InputError):
    """A quantity without a unit, or with one of another kind."""


class UnknownName(InputError):
    """A name that no catalogue holds; the nearest ones are offered."""

    def __init__(self, kind: str, name: str, known: Iterable[str], *, remedy: str = "") -> None:
        known = sorted(known)
        folded = {k.casefold(): k for k in known}
        near = [folded[n] for n in difflib.get_close_matches(name.casefold(), folded, n=4, cutoff=0.5)]
        super().__init__(
            f"no {kind} is called {name!r}",
            why=f"near: {', '.join(near)}" if near else "",
            remedy=remedy or (f"use {near[0]!r}" if near else ""),
        )


class FleetChanged(EkeError):
    """The stock is not the one the plan was made for."""

    exit_code = 2


class Infeasible(EkeError):
    """What was asked rests on promises that cannot all be kept."""

    exit_code = 2


class ChecksumMismatch(EkeError):
    """Bytes that are not the bytes that were pinned; they are not used."""


class NotInstalled(EkeError):
    """An optional part that is not installed."""

    def __init__(self, part: str, extra: str) -> None:
        remedy = f"pip install 'eke[{extra}]'" if extra else f"pip install {part}"
        super().__init__(f"{part} is not installed", remedy=remedy)
