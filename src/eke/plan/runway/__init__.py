"""How long the stock lasts: generations trained, and promises kept, over the months ahead. Knows no process.

    stock → month, prices → generation → timeline → result

`make` reckons it for a scenario; `levers` asks what would lengthen it most.
"""

from eke.plan.runway.levers import Levers
from eke.plan.runway.result import Runway
from eke.plan.runway.run import make

__all__ = ["Levers", "Runway", "make"]
