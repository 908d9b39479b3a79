"""One generation of the model: its shape and tokens, and how fast pools train it, alone or in step. Knows no demand.

A gang is told by its strength: Σ c_p z_p over its pools, with c_p the most a unit of pool p trains. What a gang of
that strength really trains is less: data ranks divide a batch ever more finely, pools wait for each other, chips fail.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from eke.cost import FloatArray, training
from eke.cost.goodput import Restarts, effective_share
from eke.cost.layers import layers
from eke.fleet.pool import Fleet, Pool
from eke.models.grow import grown
from eke.plan import gangs, planner
from eke.plan.recipes import Recipe, Site, link, sites
from eke.plan.runway.stock import MONTH_S
from eke.plan.scenario import Train

MOST_OF = 0.5
"""A pool is asked about alone when it trains this share of what the strongest one does, or belongs to no group."""


@dataclass(frozen=True, slots=True)
class Generation:
    """A model to train.

    Attributes:
        number: 1 for the first. workload: what is trained, with the tokens that its compute leaves.
        flop: of the whole training.
        teams: pools that may train it together.
    """

    number: int
    workload: Train
    flop: float
    teams: tuple[Team, ...]

    @property
    def name(self) -> str:
        """As it is called in results."""
        return self.workload.name if self.number == 1 else f"{self.workload.name}-{self.number}"


@dataclass(frozen=True, slots=True)
class Team:
    """Pools that train one model in step; the strongest first.

    Attributes:
        pools: their places in the fleet.
        speed: [pools of the fleet] c, tokens/s a unit at best; 0 outside the team.
        strength, rate: a gang's strength in tokens/s and what it trains, without failures; as points of a curve.
        failing: failures a second at these strengths.
        recipe: the fastest gang in the strongest pool. recipes: of each pool.
    """

    pools: tuple[int, ...]
    speed: FloatArray
    strength: FloatArray
    rate: FloatArray
    failing: FloatArray
    recipe: Recipe
    recipes: tuple[Recipe, ...]

    def trains(
        self, strength: FloatArray, faster: FloatArray, restarts: Restarts, failing: FloatArray, restless: FloatArray
    ) -> FloatArray:
        """Tokens/s of gangs [samples, months], after what failures cost.

        Args:
            strength: [samples, months], at the sample's speeds.
            faster: [samples] speed of the strongest pool's chips, as a multiple of what was planned.
            restarts: what a failure costs.
            failing: [samples] failures as a multiple of what is expected.
            restless: [samples, months] standard normal: more or fewer in a month.
        """
        as_planned = strength / faster[:, None]
        rate = np.interp(as_planned, self.strength, self.rate) * faster[:, None]
        expected = np.interp(as_planned, self.strength, self.failing) * failing[:, None]
        noisy = expected * np.maximum(0.0, 1.0 + restless / np.sqrt(np.maximum(expected * MONTH_S, 1.0)))
        rate = np.where(as_planned < self.strength[1] * (1 - 1e-9), 0.0, rate)
        kept: FloatArray = rate * effective_share(noisy, restarts)
        return kept


Known = dict[tuple[object, ...], "Curve | None"]
"""Curves by what they depend on."""


def generation(
    number: int, first: Train, fleet: Fleet, most: Mapping[str, int], compute: float, model: float,
    restarts: Mapping[str, Restarts], known: Known,
) -> Generation:  # fmt: skip
    """The generation `number` after `first`.

    Args:
        number: 1 for the first.
        first: as the scenario states it.
        fleet: today.
        most: units each pool may ever have.
        compute: growth of FLOP, a generation.
        model: growth of weights.
        restarts: by pool.
        known: curves found before; those found now are added.
    """
    flop = training.flop_per_token(layers(first.architecture), float(first.sequence)) * first.tokens
    architecture = grown(first.architecture, model ** (number - 1))
    flop *= compute ** (number - 1)
    tokens = flop / training.flop_per_token(layers(architecture), float(first.sequence))
    workload = replace(first, architecture=architecture, model=architecture.name, tokens=tokens)
    return Generation(number, workload, flop, _teams(workload, fleet, most, restarts, known))


def _teams(
    workload: Train, fleet: Fleet, most: Mapping[str, int], restarts: Mapping[str, Restarts], known: Known
) -> tuple[Team, ...]:
    curves: dict[str, Curve] = {}
    for pool in fleet.pools:
        if workload.pools is None or pool.name in workload.pools:
            curve = _curve(workload, pool, most[pool.name], known)
            if curve is not None:
                curves[pool.name] = curve
    if not curves:
        return ()
    can = {name: c.best * max(most[name], 1) for name, c in curves.items()}
    ordered = sorted(can, key=lambda p: -can[p])
    grouped = planner.groups(fleet, curves)
    chosen: list[tuple[str, ...]] = []
    for group in grouped:
        inside = [p for p in ordered if p in group]
        chosen += [tuple(inside[:k]) for k in range(1, len(inside) + 1)]
    joined = {p for group in grouped for p in group}
    chosen += [(p,) for p in ordered if p not in joined or can[p] >= MOST_OF * can[ordered[0]]]
    return tuple(_team(workload, fleet, list(names), curves, restarts, most) for names in dict.fromkeys(chosen))


@dataclass(frozen=True, slots=True)
class Curve:
    """What gangs of a pool train: units and tokens/s without failures, from nothing up; never less for more units."""

    units: FloatArray
    rate: FloatArray
    recipes: tuple[Recipe, ...]

    @property
    def best(self) -> float:
        """The most a unit trains."""
        return float(np.max(self.rate[1:] / self.units[1:]))

    def recipe(self, most: int) -> Recipe:
        """The fastest gang of at most so many units; the smallest where none is."""
        fits = [r for r in self.recipes if r.units <= most]
        return max(fits, key=lambda r: r.rate) if fits else self.recipes[0]


def _curve(workload: Train, pool: Pool, most: int, known: Known) -> Curve | None:
    """Gangs of a pool in sizes up to the power of two beyond what it may ever have, so that a chip more changes no
    curve.
    """
    if most < 1:
        return None
    [(site, _)] = sites([pool])
    wide: Site = replace(site, units=2 ** int(np.ceil(np.log2(max(most, site.per_node) * 1.5))))
    key = (workload.architecture, workload.precision, workload.sequence, workload.global_batch, pool.chip.name,
           replace(wide, chip=None))  # type: ignore[arg-type]  # fmt: skip
    if key not in known:
        known[key] = _measure(gangs.recipes(workload, wide))
    return known[key]


def _measure(found: Sequence[Recipe]) -> Curve | None:
    """The curve through gangs of many sizes."""
    if not found:
        return None
    count = np.array([r.units for r in found], dtype=float)
    # What failures cost is added later, for the whole team.
    rate = np.array([r.rate for r in found]) / gangs.kept([r.tp * r.pp * r.dp for r in found])
    order = np.argsort(count)
    count, rate = count[order], np.maximum.accumulate(rate[order])
    return Curve(np.append(0.0, count), np.append(0.0, rate), tuple(found[i] for i in order))


def _team(
    workload: Train, fleet: Fleet, names: Sequence[str], curves: Mapping[str, Curve], restarts: Mapping[str, Restarts],
    most: Mapping[str, int],
) -> Team:  # fmt: skip
    places = {p.name: i for i, p in enumerate(fleet.pools)}
    lead = curves[names[0]]
    speed = np.zeros(len(fleet.pools))
    for name in names:
        speed[places[name]] = curves[name].best
    strength, rate = lead.units * lead.best, lead.rate
    if len(names) > 1:
        rate = rate * _together(workload, fleet, names, curves, strength, most)
    there = [max(most[n], 1) for n in names]
    reach = np.cumsum([0.0, *(curves[n].best * u for n, u in zip(names, there, strict=True))])
    fails = np.cumsum([0.0, *(u / restarts[n].chip_s for n, u in zip(names, there, strict=True))])
    beyond = strength[-1] / max(reach[-1], 1e-12) + 1.0
    failing = np.interp(strength, np.append(reach, reach[-1] * beyond), np.append(fails, fails[-1] * beyond))
    return Team(
        tuple(places[n] for n in names), speed, strength, np.maximum.accumulate(rate), failing, lead.recipe(there[0]),
        tuple(curves[n].recipe(u) for n, u in zip(names, there, strict=True)),
    )  # fmt: skip


def _together(
    workload: Train, fleet: Fleet, names: Sequence[str], curves: Mapping[str, Curve], strength: FloatArray,
    most: Mapping[str, int],
) -> FloatArray:  # fmt: skip
    """Share of their strength that several pools keep in step: kinds that are mixed, whole micro-batches, gradients
    that cross between pools. As `gangs.parts` counts them, with all chips that may arrive.
    """
    lead = curves[names[0]]
    r = lead.recipe(most[names[0]])
    sequences = workload.global_batch / workload.sequence
    half = 0.5 * r.micro_batch * (strength / lead.best) * (r.dp / r.units) / sequences
    have = {n: max(most[n], 1) for n in names}
    total = sum(curves[n].best * have[n] for n in names)
    step_s = workload.global_batch / total
    crossing = 0.0
    for n in names:
        slowest = min(link(fleet, n, other) for other in names if other != n)
        seconds = 2 * gangs.GRADIENT_BYTES * workload.architecture.parameters / (slowest * have[n])
        crossing += curves[n].best * have[n] / total * seconds / step_s
    kept: FloatArray = (1 - gangs.JOINING * (len(names) - 1)) / (1 + half + crossing)
    return kept
