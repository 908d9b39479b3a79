"""How well the speed of each kind of chip is known, for serving and for training. Knows no plan.

Plans take the slow end of the interval: what they say a chip does is what it does at least, nine times in ten.
"""

from __future__ import annotations

from dataclasses import dataclass

from eke.cost import Basis, CostModel
from eke.models.variant import Variant
from eke.plan.recipes import sites
from eke.plan.scenario import Scenario

_ANY = Variant("bf16", 16.0, "bf16", 16.0, None)


@dataclass(frozen=True, slots=True)
class Known:
    """Of one pool, in one kind of work.

    Attributes:
        interval: factors on predicted seconds that hold 80% of what was measured elsewhere.
        source: where the coefficients come from.
    """

    pool: str
    chip: str
    training: bool
    basis: Basis
    interval: tuple[float, float]
    source: str

    @property
    def faster(self) -> float:
        """The fast end's rate beside the slow end's, which plans take."""
        return self.interval[1] / self.interval[0]


def known(scenario: Scenario) -> dict[tuple[str, bool], Known]:
    """By pool and whether it trains; pools in the scenario's order."""
    asked, found = scenario.workloads[0].architecture, {}
    for site, names in sites(scenario.fleet.pools):
        for training in (False, True):
            cost: CostModel = site.cost(asked, _ANY, training=training)
            for name in names:
                chip = scenario.fleet.pool(name).chip.name
                found[name, training] = Known(name, chip, training, cost.basis, cost.interval, cost.source)
    return {(p.name, t): found[p.name, t] for p in scenario.fleet.pools for t in (False, True)}
