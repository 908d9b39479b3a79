"""Who does what: a scenario in, a plan with its bound and prices out. Knows no process and no clock.

    scenario → recipes (serving, gangs) → program → solve → plan

`load` reads a scenario; `make` plans it; `read` reads a plan file back.
"""

from eke.plan.plan import Plan, read
from eke.plan.planner import make
from eke.plan.reading import load, parse
from eke.plan.scenario import Scenario

__all__ = ["Plan", "Scenario", "load", "make", "parse", "read"]
