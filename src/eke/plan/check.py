"""Re-checks a plan against its scenario by plain arithmetic. Shares no code with the program that made it; knows no
solver.

What it asks of a plan: no pool is used beyond its chips in any slot; replicas fill nodes without remainder; what is
called met is met by the capacity placed, also with as many nodes down as it survives; what starts for the next slot has
chips to start on; shares of smaller models and the quality of answers keep their limits; each training job is one gang
at a time; and memory holds what the recipe says, by a count of weights and cache alone.
"""

from __future__ import annotations

from collections import defaultdict

from eke.models.architecture import Architecture
from eke.models.variant import variants
from eke.plan.plan import Placement, Plan
from eke.plan.scenario import Scenario, Serve, Train

ROUNDING = 1e-6
ENGINE_START_S, READS = 60.0, 1e9
"""A replica's start besides its weights, and the bytes/s of weights that each of its chips reads when nobody says."""
MOVE_S = 180.0
"""What a gang that changes size loses at every slot, and leaves to others meanwhile."""
UNKNOWN_LINK = 12.5e9
"""Bytes/s per chip between pools when nobody says: 100 Gb/s."""


def faults(plan: Plan, scenario: Scenario) -> list[str]:
    """Everything that is wrong with a plan; empty when nothing is."""
    if not plan.placements:
        met = [w.name for w in plan.workloads if w.met and any(w.demand_rps or (w.tokens_per_s or 0.0,))]
        return [f"{name} is called met and nothing runs" for name in met]
    return [
        *_chips(plan, scenario),
        *_nodes(plan, scenario),
        *_memory(plan, scenario),
        *_promises(plan, scenario),
        *_gangs(plan),
        *_links(plan, scenario),
        *_starts(plan, scenario),
        *_packed(plan, scenario),
    ]


def _chips(plan: Plan, scenario: Scenario) -> list[str]:
    used: dict[tuple[str, int], float] = defaultdict(float)
    for p in plan.placements:
        used[p.pool, p.slot] += p.chips
    wrong = []
    for pool in scenario.fleet.pools:
        room = _room(pool.name, scenario)
        stated = next(u for u in plan.pools if u.name == pool.name).used_chips
        for slot in range(scenario.slots):
            if used[pool.name, slot] > room + ROUNDING:
                wrong.append(f"{pool.name} in slot {slot}: {used[pool.name, slot]:g} chips used of {room}")
            if abs(used[pool.name, slot] - stated[slot]) > 1e-3:
                wrong.append(
                    f"{pool.name} in slot {slot}: {stated[slot]:g} chips stated, {used[pool.name, slot]:g} placed"
                )
    return wrong


def _starts(plan: Plan, scenario: Scenario) -> list[str]:
    """Chips hold what works in a slot and, for as long as a start takes, what serves in the next one and starts."""
    slots, slot_s = scenario.slots, 86400.0 / scenario.slots
    gangs: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(lambda: [0.0] * slots))
    starting: dict[str, list[float]] = {p.name: [0.0] * slots for p in scenario.fleet.pools}
    for p in plan.placements:
        if p.kind == "train":
            gangs[p.workload][p.pool][p.slot] += p.chips
    for p, more in _rises([p for p in plan.placements if p.kind == "serve"], slots):
        starting[p.pool][(p.slot - 1) % slots] += more * p.chips_per_replica * _start_s(p, scenario) / slot_s
    wrong = []
    for use in plan.pools:
        moving = [0.0] * slots
        for of in gangs.values():
            if any(len(set(chips)) > 1 for chips in of.values()) and use.name in of:
                moving = [m + chips for m, chips in zip(moving, of[use.name], strict=True)]
        for t in range(slots):
            busy, room = starting[use.name][t], _room(use.name, scenario)
            short = min(busy, max(0.0, use.used_chips[t] - moving[t] * min(1.0, MOVE_S / slot_s) + busy - room))
            if abs(busy - use.starting_chips[t]) > 1e-3 * max(1.0, busy):
                wrong.append(f"{use.name} in slot {t}: {use.starting_chips[t]:g} chips start, rather {busy:g}")
            if short > use.late_chips[t] + 1e-3:
                wrong.append(f"{use.name} in slot {t}: no room for {short:g} chips that start, and nobody says so")
    return wrong


def _rises(placements: list[Placement], slots: int) -> list[tuple[Placement, int]]:
    """Placements of which more replicas stand in their slot than in the one before, and how many more."""
    replicas: dict[tuple[object, ...], int] = defaultdict(int)

    def key(p: Placement, slot: int) -> tuple[object, ...]:
        told = sorted(map(str, p.recipe.items()))
        return (p.pool, p.chips_per_replica, p.workload, p.model, p.variant, p.role, *told, slot)

    first = {key(p, p.slot): p for p in placements}
    for p in placements:
        replicas[key(p, p.slot)] += p.replicas
    more = [(p, replicas[key(p, p.slot)] - replicas[key(p, (p.slot - 1) % slots)]) for p in first.values()]
    return [(p, n) for p, n in more if n > 0]


def _start_s(p: Placement, scenario: Scenario) -> float:
    architecture = _architecture(p, scenario)
    weights = architecture.parameters * variants(architecture)[p.variant].weight_bits / 8
    reads = scenario.fleet.pool(p.pool).storage or READS
    return ENGINE_START_S + weights / (reads * p.chips_per_replica)


def _room(pool: str, scenario: Scenario) -> float:
    of = scenario.fleet.pool(pool)
    room = float(of.plannable_nodes * of.chips_per_node)
    return min(room, of.power_cap / of.chip.tdp) if of.power_cap is not None and of.chip.tdp else room


def _nodes(plan: Plan, scenario: Scenario) -> list[str]:
    wrong = []
    for p in plan.placements:
        pool = scenario.fleet.pool(p.pool)
        each, node = p.chips_per_replica, pool.chips_per_node
        whole = each % node == 0 if each > node else pool.chip.kind == "cpu" or node % each == 0
        if not whole or abs(p.chips - p.replicas * each) > ROUNDING * max(1.0, p.chips):
            of = f"{p.replicas} replicas of {each:g} chips on nodes of {node}"
            wrong.append(f"{p.workload} on {p.pool}: {of} do not make {p.chips:g}")
    return wrong


def _memory(plan: Plan, scenario: Scenario) -> list[str]:
    wrong = []
    for key in {(p.workload, p.pool, p.model, p.variant, p.chips_per_replica): p for p in plan.placements}.values():
        held, room = _least_bytes(key, scenario), scenario.fleet.pool(key.pool).chip.memory * key.chips_per_replica
        if held > room:
            wrong.append(f"{key.workload} on {key.pool}: {held:.3g} bytes of weights and cache in {room:.3g}")
    return wrong


def _least_bytes(p: Placement, scenario: Scenario) -> float:
    """Bytes a replica cannot do without: weights (training: with gradient and optimizer state), and one sequence's
    cache.
    """
    architecture = _architecture(p, scenario)
    if p.kind == "train":
        return architecture.parameters * (2.0 + 2.0 + 12.0 / int(p.recipe["dp"]))
    bits = variants(architecture)[p.variant]
    return (
        architecture.parameters * bits.weight_bits / 8
        + architecture.kv_values(float(p.recipe["context"]) / int(p.recipe["max_batch"])) * bits.kv_bits / 8
    )


def _architecture(p: Placement, scenario: Scenario) -> Architecture:
    w = next(w for w in scenario.workloads if w.name == p.workload)
    others = {a.model: a.architecture for a in w.alternatives} if isinstance(w, Serve) else {}
    return others.get(p.model, w.architecture)


def _promises(plan: Plan, scenario: Scenario) -> list[str]:
    wrong = []
    for w in scenario.workloads:
        mine = [p for p in plan.placements if p.workload == w.name]
        met = next(k for k in plan.workloads if k.name == w.name).met
        if w.pools is not None and any(p.pool not in w.pools for p in mine):
            wrong.append(f"{w.name} stands in a pool it may not use")
        if isinstance(w, Serve):
            wrong += _serve(w, mine, scenario, met)
            continue
        name = "tokens_per_s" if isinstance(w, Train) else "requests_per_s"
        mean = sum(p.capacity[name] for p in mine) / scenario.slots
        if not isinstance(w, Train):  # a pile's replicas start in their own slot
            mean -= sum(
                n * p.capacity[name] / p.replicas * _start_s(p, scenario) / 86400.0
                for p, n in _rises(mine, scenario.slots)
            )
        wanted = w.tokens_per_s if isinstance(w, Train) else w.requests_per_s
        if met and mean < wanted * (1 - 1e-4):
            wrong.append(f"{w.name} is called met with {mean:g} of {wanted:g} {name}")
    return wrong


def _serve(w: Serve, mine: list[Placement], scenario: Scenario, met: bool) -> list[str]:
    wrong = []
    for slot in range(scenario.slots):
        here, rate = [p for p in mine if p.slot == slot], w.traffic.rate_per_s * w.traffic.profile[slot]
        capacity = sum(p.capacity["requests_per_s"] for p in here if p.role == "mixed") + _divided(here)
        if not rate:
            continue
        if met and capacity < rate * (1 - 1e-4):
            wrong.append(f"{w.name} in slot {slot}: called met with {capacity:g} of {rate:g} requests/s")
        if any(p.share * rate > p.capacity["requests_per_s"] * (1 + 1e-4) for p in here):
            wrong.append(f"{w.name} in slot {slot}: a recipe is given more than its capacity")
        if met and any(
            p.capacity["ttft_s"] > w.slo.ttft_s * 1.02 or p.capacity["tpot_s"] > w.slo.tpot_s * 1.001 for p in here
        ):
            wrong.append(f"{w.name} in slot {slot}: called met by a recipe that is late")
        wrong += _quality(w, here, slot)
        if met and w.survives:
            wrong += _survives(w, here, slot, rate, scenario)
    return wrong


def _survives(w: Serve, here: list[Placement], slot: int, rate: float, scenario: Scenario) -> list[str]:
    """Each model's answers keep their share of the requests without what the worst nodes hold, however they are
    packed; of each precision apart, where some answers are below the quality floor.
    """
    wrong, below = [], any(p.quality is not None and p.quality < w.min_quality for p in here)
    for form in {(p.model, p.quality if below else None) for p in here}:
        mine = [p for p in here if (p.model, p.quality if below else None) == form]
        worst = max(_lost([p for p in mine if p.pool == pool], scenario) for pool in {p.pool for p in mine})
        left = sum(p.capacity["requests_per_s"] for p in mine) - w.survives * worst
        asked = sum(p.share for p in mine) * rate
        if left < asked * (1 - 1e-4):
            nodes = f"{w.survives} node{'s' if w.survives > 1 else ''}"
            wrong.append(f"{w.name} in slot {slot}: {left:g} of {asked:g} requests/s left with {nodes} down")
    return wrong


def _lost(mine: list[Placement], scenario: Scenario) -> float:
    """The most requests/s that one node of a pool can hold of these placements: a knapsack of its chips."""
    node = scenario.fleet.pool(mine[0].pool).chips_per_node
    step = min(p.chips_per_replica for p in mine)
    best = [0.0] * (round(node / step) + 1)
    across = 0.0
    for p in mine:
        each, size = p.capacity["requests_per_s"] / p.replicas, round(p.chips_per_replica / step)
        if p.chips_per_replica > node:
            across = max(across, each)
            continue
        for _ in range(min(p.replicas, 1 if p.recipe.get("per_node") == 1 else len(best))):
            best = [max(b, best[i - size] + each) if i >= size else b for i, b in enumerate(best)]
    return max(across, *best)


def _packed(plan: Plan, scenario: Scenario) -> list[str]:
    """Replicas that must not share a node fit their pool's nodes beside everything else: the largest first, each on
    the fullest node that has room.
    """
    wrong = []
    for pool, slot in {(p.pool, p.slot) for p in plan.placements if p.recipe.get("per_node") == 1}:
        of, here = scenario.fleet.pool(pool), [p for p in plan.placements if (p.pool, p.slot) == (pool, slot)]
        free = [float(of.chips_per_node)] * of.plannable_nodes
        for p in sorted(here, key=lambda p: (-p.chips_per_replica, p.recipe.get("per_node") != 1)):
            alone, left, each = p.recipe.get("per_node") == 1, p.replicas, p.chips_per_replica
            if each >= of.chips_per_node:  # whole nodes; a gang may take a part of its last one
                free = sorted(free)[: max(0, len(free) - int(p.chips // of.chips_per_node))]
                each = p.chips % of.chips_per_node
                left = int(each > 0)
            for i in sorted(range(len(free)), key=lambda i: free[i]):
                fits = min(left, 1 if alone else left, int((free[i] + ROUNDING) // max(each, ROUNDING)))
                free[i] -= fits * each
                left -= fits
            if left:
                wrong.append(f"{pool} in slot {slot}: {left} replicas of {p.workload} find no node")
    return wrong


def _divided(here: list[Placement]) -> float:
    """Requests/s of those who read prompts and those who write answers: in each form, what both can do."""
    read: dict[tuple[str, str, str], float] = defaultdict(float)
    written: dict[tuple[str, str, str], float] = defaultdict(float)
    for p in here:
        if p.role == "prefill":
            read[p.model, p.variant, str(p.recipe["feeds"])] += p.capacity["requests_per_s"]
        if p.role == "decode":
            written[p.model, p.variant, p.pool] += p.capacity["requests_per_s"]
    return sum(min(read[form], rate) for form, rate in written.items())


def _links(plan: Plan, scenario: Scenario) -> list[str]:
    """Readers send no more bytes of cache to their writers than their chips' links carry; what is read is written."""
    wrong = []
    for w in (w for w in scenario.workloads if isinstance(w, Serve)):
        for slot in range(scenario.slots):
            balance: dict[tuple[str, str, str], float] = defaultdict(float)
            for p in (p for p in plan.placements if p.workload == w.name and p.slot == slot):
                if p.role == "decode":
                    balance[p.model, p.variant, p.pool] -= p.share
                if p.role != "prefill":
                    continue
                to = str(p.recipe["feeds"])
                balance[p.model, p.variant, to] += p.share
                if p.share * w.traffic.rates[slot] * _handover(w, p, scenario) > _link(p.pool, to, scenario) * p.chips:
                    wrong.append(f"{w.name} in slot {slot}: {p.pool} sends more to {to} than its link carries")
            wrong += [
                f"{w.name} in slot {slot}: {pool} writes what nobody read, or the reverse"
                for (_, _, pool), rest in balance.items()
                if abs(rest) > 1e-4
            ]
    return wrong


def _handover(w: Serve, p: Placement, scenario: Scenario) -> float:
    """Bytes of cache of a mean prompt, less what both ends hold already; 2% off for rounding."""
    architecture = _architecture(p, scenario)
    prompt = w.traffic.prompt.mean * (1 - w.traffic.prefix_hit)
    return 0.98 * architecture.kv_values(prompt) * variants(architecture)[p.variant].kv_bits / 8


def _link(a: str, b: str, scenario: Scenario) -> float:
    stated = [link.bandwidth for link in scenario.fleet.links if set(link.between) == {a, b}]
    return stated[0] if stated else min(scenario.fleet.pool(name).scale_out or UNKNOWN_LINK for name in (a, b))


def _quality(w: Serve, here: list[Placement], slot: int) -> list[str]:
    wrong = []
    here = [p for p in here if p.role != "prefill"]  # those requests are counted where they are answered
    for a in w.alternatives:
        share = sum(p.share for p in here if p.model == a.model)
        if share > a.share + 1e-4:
            wrong.append(f"{w.name} in slot {slot}: {a.model} answers {share:.1%}, at most {a.share:.1%}")
    answered = sum(p.share for p in here)
    quality = sum(p.share * (w.min_quality if p.quality is None else p.quality) for p in here)
    if answered > 0 and quality < answered * w.min_quality - 1e-4:
        wrong.append(f"{w.name} in slot {slot}: quality {quality / answered:.4f} below {w.min_quality}")
    return wrong


def _gangs(plan: Plan) -> list[str]:
    seen: dict[tuple[str, str, int], int] = defaultdict(int)
    for p in plan.placements:
        if p.kind == "train":
            seen[p.workload, p.pool, p.slot] += p.replicas
    return [f"{name} in slot {slot}: {n} gangs in {pool}" for (name, pool, slot), n in seen.items() if n > 1]
