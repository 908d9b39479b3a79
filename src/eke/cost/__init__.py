"""How fast, and in how much memory: operators on a roofline, collectives, memory fit, efficiencies from profiles.

Knows one replica of one model on one kind of chip. Knows no demand, no fleet, no plan.
"""

from eke.cost.model import CostModel
from eke.cost.profile import Profile
from eke.cost.tables import BOUNDS, Basis, FloatArray, IntArray, Layouts, Memory, Times

__all__ = ["BOUNDS", "Basis", "CostModel", "FloatArray", "IntArray", "Layouts", "Memory", "Profile", "Times"]
