"""Eke: make the accelerators you own last.

plan = eke.load("scenario.yaml").plan()
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from eke.plan.scenario import Scenario

__version__ = "0.1.0"
__all__ = ["__version__", "load"]


def load(path: str | Path) -> Scenario:
    """The scenario in a YAML file: what you own, what you owe. `.plan()` says who does what."""
    # By name, so that the floors below, which import `eke` for its version, do not seem to import the planner.
    scenario: Scenario = import_module("eke.plan.reading").load(path)
    return scenario
