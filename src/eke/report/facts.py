"""Everything a report speaks of: the plan, and what is asked of the planner beside it. Knows no page."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from eke.errors import EkeError, InputError, UnknownName
from eke.plan import planner, runway
from eke.plan import savings as software
from eke.plan import worth as chips
from eke.plan.explain import Explainer, Explanation
from eke.plan.known import Known, known
from eke.plan.plan import Plan
from eke.plan.reading import parse
from eke.plan.runway import Levers, Runway, levers
from eke.plan.savings import Savings
from eke.plan.scenario import Scenario, Train
from eke.plan.worth import Worth

PARTS = ("explain", "savings", "worth", "runway", "levers")
"""What can be left out."""
UNASKED = "it was not asked for"

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Facts:
    """What a report says.

    Attributes:
        known: how well speeds are known, by pool and whether it trains.
        left_out: why a part is missing, by its name.
    """

    plan: Plan
    scenario: Scenario
    known: Mapping[tuple[str, bool], Known]
    why: Explanation | None
    savings: Savings | None
    worth: Worth | None
    runway: Runway | None
    levers: Levers | None
    left_out: Mapping[str, str]


def gather(plan: Plan, *, without: Collection[str] = (), progress: Progress | None = None) -> Facts:
    """Ask for everything but the parts in `without`; a part that has no answer is left out with the reason.

    Raises:
        InputError: the plan does not say what it was made from.
        UnknownName: `without` names no part.
    """
    say = progress or (lambda _: None)
    check(without)
    if not plan.source:
        raise InputError("the plan does not say what it was made from", remedy="make it again with eke plan")
    scenario = planner.ready(parse(plan.source))
    asks: dict[str, tuple[str, Callable[[Progress], Any]]] = {
        "explain": ("why the plan is as it is", lambda _: Explainer(plan).all()),
        "savings": ("what software saves", lambda tell: software.savings(scenario, progress=tell)),
        "worth": ("what chips are worth", lambda tell: chips.worth(scenario, progress=tell)),
        "runway": ("how long the stock lasts", lambda tell: runway.make(scenario, progress=tell)),
        "levers": ("what would lengthen that", lambda tell: levers.rank(scenario, progress=tell)),
    }
    if not any(isinstance(w, Train) for w in scenario.workloads):  # there are no generations
        del asks["runway"], asks["levers"]
    found: dict[str, Any] = dict.fromkeys(PARTS)
    left_out = {part: UNASKED for part in without if part in asks}
    for part, (words, ask) in asks.items():
        if part in without:
            continue
        say(words)
        try:
            found[part] = ask(partial(_within, say, words))
        except EkeError as error:
            left_out[part] = f"{error.what}{f' ({error.why})' if error.why else ''}"
    return Facts(
        plan, scenario, known(scenario), found["explain"], found["savings"], found["worth"], found["runway"],
        found["levers"], left_out,
    )  # fmt: skip


def check(without: Collection[str]) -> None:
    """Raises:
    UnknownName: `without` names what is no part.
    """
    for part in without:
        if part not in PARTS:
            raise UnknownName("part of a report", part, PARTS, remedy=f"one of {', '.join(PARTS)}")


def _within(say: Progress, words: str, text: str) -> None:
    say(f"{words}: {text}")
