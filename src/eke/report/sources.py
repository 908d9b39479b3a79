"""Where the chips' figures come from, as rows. Knows no page."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from eke import units
from eke.plan.scenario import Scenario
from eke.report.facts import Facts

_SHOWN: tuple[tuple[str, str, Callable[[float], str]], ...] = (
    ("memory", "memory", units.show_bytes),
    ("memory bandwidth", "memory_bandwidth", units.show_bytes_per_s),
    ("link to its neighbours", "scale_up", units.show_bytes_per_s),
    ("network", "scale_out", units.show_bytes_per_s),
    ("power", "tdp", lambda w: f"{w:,.0f} W"),
)


@dataclass(frozen=True, slots=True)
class Source:
    """One figure of one chip, shown, with its status and source; both empty where the user's scenario says it."""

    chip: str
    what: str
    value: str
    status: str
    source: str


def figures(facts: Facts) -> list[Source]:
    """What every chip owned is taken to be, and who says so."""
    return chips(facts.scenario) + coefficients(facts)


def chips(scenario: Scenario) -> list[Source]:
    """Peaks, memory, links and power of every kind of chip."""
    rows = []
    for chip in {p.chip.name: p.chip for p in scenario.fleet.pools}.values():
        shown = [(f"{p} dense", f"flops.{p}", units.show_flop_per_s(v)) for p, v in chip.flops.items()]
        shown += [(what, key, show(getattr(chip, key)) if getattr(chip, key) is not None else "unknown")
                  for what, key, show in _SHOWN]  # fmt: skip
        for what, key, value in shown:
            figure = chip.figures.get(key)
            status = "unknown" if value == "unknown" else figure.status if figure else "the scenario's"
            rows.append(Source(chip.name, what, value, status, figure.source if figure else ""))
    return rows


def coefficients(facts: Facts) -> list[Source]:
    """What the speed of every kind of chip was fitted to."""
    found = {
        (k.chip, k.training): Source(k.chip, "speed in training" if k.training else "speed in serving",
                                     f"{1 / k.interval[1] - 1:+.0%} to {1 / k.interval[0] - 1:+.0%}", k.basis, k.source)
        for k in facts.known.values()
    }  # fmt: skip
    return list(found.values())
