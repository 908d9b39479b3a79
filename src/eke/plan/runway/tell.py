"""What a runway's numbers mean, in words and in rows: what binds a generation, how the fan opens, what was assumed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from eke import units
from eke.plan.interval import based
from eke.plan.program import Problem
from eke.plan.runway.result import Month, Runway
from eke.plan.runway.stock import GROWTH_SPREAD, MONTH_S, quantiles
from eke.plan.runway.timeline import DAY_S
from eke.plan.scenario import Batch, Serve

if TYPE_CHECKING:
    from eke.plan.runway.levers import Lever, Levers
    from eke.plan.runway.run import Outlooks, Trained

TELLING = 0.1
"""Share of what all chips are worth from which a pool is named as binding."""


def breaks(problem: Problem, workload: str) -> bool:
    """Whether no recipe of a workload keeps its latency promise."""
    mine = [r for r in problem.recipes if r.workload == workload]
    return bool(mine) and not any(r.holds for r in mine)


def months(of: Outlooks) -> tuple[Month, ...]:
    """The fan: chips of each pool, requests as a multiple of today's, and how many times as many could be served."""
    f, names = of.futures, [p.name for p in of.scenario.fleet.pools]
    per_chip = np.array([of.per_chip[n] for n in names])
    room = np.minimum(of.most_growth / f.serving, 1e6)
    return tuple(
        Month(
            round(m * MONTH_S / DAY_S, 1),
            {n: quantiles(f.units[:, m, i] / per_chip[i], np.inf) for i, n in enumerate(names)},
            _three(f.serving[:, m]), _three(room[:, m]),
        )
        for m in range(f.months)
    )  # fmt: skip


def _three(values: Any) -> dict[str, float | None]:
    low, middle, high = np.quantile(values, (0.1, 0.5, 0.9))
    return {"p10": round(float(low), 4), "p50": round(float(middle), 4), "p90": round(float(high), 4)}


def halfway(of: Outlooks, t: Trained) -> tuple[dict[str, float], str, float | None, float | None]:
    """Of a generation, in the future that is the median halfway through it: chips that train it, what binds, the share
    of time that counts, tokens/s.
    """
    horizon = of.moves.horizon_s
    if not t.ways:
        a = t.of.workload.architecture
        size = units.show_count(a.parameters)
        return {}, f"memory: no layout of {size} parameters fits any pool's largest gang", None, None
    start, end = (float(np.median(np.minimum(x, horizon))) for x in (t.start, t.end))
    m = min(int((start + min(end, horizon)) / 2 / MONTH_S), of.futures.months - 1)
    s = int(np.argsort(t.rate[:, m])[of.samples // 2])
    way = t.ways[int(t.way[s, m])]
    found = of.solve(way, s, m)
    if found is None or t.rate[s, m] <= 0:
        return {}, "service: it takes every chip that could train", None, 0.0
    names = [p.name for p in of.scenario.fleet.pools]
    real = of.futures.serves[s] * np.array([of.per_chip[n] for n in names])  # chips for units of planned speed
    pools = {n: float(round(z)) for n, z in zip(names, found.training / real, strict=True) if z > 0.5}
    worth = np.maximum(found.prices.chips.sum(axis=1), of.speed(way, np.array([s]))[0]) * of.chips[s, m]
    told = sorted(zip(worth / worth.sum(), names, strict=True), reverse=True)
    scarce = [f"{n} ({share:.0%})" for share, n in told if share >= TELLING]
    serving = {w: float((v / real).sum()) for w, v in found.serving.items()}
    total = float((of.futures.units[s, m] / np.array([of.per_chip[n] for n in names])).sum())
    binds = f"chips: {', '.join(scarce)} of what more of all would bring"
    if serving and total:
        most = max(serving, key=lambda w: serving[w])
        binds += f"; service takes {sum(serving.values()) / total:.0%} of the stock, most for {most}"
    with_failures, without = (float(of.rate(way, np.array([s]), failing=times)[0, m]) for times in (1.0, 1e-9))
    return pools, binds, round(with_failures / without, 4) if without else None, with_failures


def assumptions(of: Outlooks) -> tuple[str, ...]:
    """What was taken where the scenario does not say, and what the figures stand on."""
    g, told = of.moves, []
    if of.assumed:
        told.append(
            f"The scenario has no `generations`: {g.compute_growth:g}x the compute and {g.model_growth:g}x the "
            "parameters a generation are assumed (as from DeepSeek-V2 to V3), no growth of serving, no attrition, "
            f"{g.horizon_s / MONTH_S:g} months."
        )
    rates = {r.basis for r in of.restarts.values()}
    hours = of.any_restarts.chip_s / 3.6e6
    if "scenario" in rates:
        told.append(f"A chip stops its job every {hours:.3g} kh: the scenario's figure, for all chips.")
    else:
        told.append(
            f"A chip stops its job every {hours:.3g} kh: the geometric mean of three published NVIDIA fleets (29.5, "
            "45.6 and 83.5 kh), one factor of their spread for each future."
        )
    quiet = [p.name for p in of.scenario.fleet.pools if p.chip.vendor not in ("NVIDIA", "inline")]
    if quiet:
        told.append(
            f"{', '.join(quiet)}: failure rate unknown, no domestic or other non-NVIDIA fleet has published one; the "
            "same is taken as for the others. The table of failures shows what another one would do."
        )
    r = of.any_restarts
    often = "at the interval that loses least (Daly)"
    if r.interval_s is not None:
        often = f"every {units.show_seconds(r.interval_s)}"
    recovery = units.show_seconds(r.recovery_s) + ("" if g.recovery_s else " (estimated)")
    stall = units.show_seconds(r.stall_s) + ("" if g.checkpoint_stall_s else " (estimated)")
    told.append(f"Recovery takes {recovery}; checkpoints hold a job up {stall}, {often}.")
    if g.serving_growth_per_s:
        told.append(
            f"Serving grows {units.show_fraction(g.serving_growth_per_s * MONTH_S)} a month, in 80% of futures between "
            f"that divided by and multiplied with {GROWTH_SPREAD:g} (assumed); served models stay as they are."
        )
    told.append(
        "Speeds of each kind of chip, for training and for serving, vary by the 80% intervals of the cost model, one "
        "factor for a whole future; attrition chip by chip, arrivals by their chance."
    )
    if any(isinstance(w, Batch) for w in of.problem.workloads):
        told.append("Batch work keeps its daily amount before training, and gives way when serving itself is short.")
    told.append(
        "Replicas and gangs may be split in this program: whole ones need a few chips more. Every replica reads "
        "prompts and writes answers; splitting the two, as a plan may, is not counted."
    )
    late = [w.name for w in of.problem.workloads if isinstance(w, Serve) and breaks(of.problem, w.name)]
    told += [f"{n}: no recipe here keeps its latency promise; serving does not suffice from the start." for n in late]
    return tuple(told)


def beside_the_plan(of: Runway) -> str:
    """How far the first month is from the plan, in a sentence; empty where one of them trains nothing."""
    now = of.today
    if now.difference is None or now.tokens_per_s is None or now.plan_tokens_per_s is None:
        return ""
    divided = " (it may divide prompts and answers over replicas, which this does not)" if now.difference < 0 else ""
    return (
        f"At the plan's speeds, the slow end, the first month trains {units.show_count(now.tokens_per_s)} tokens/s; "
        f"`eke plan` trains {units.show_count(now.plan_tokens_per_s)} in whole gangs and replicas{divided}: this is "
        f"{now.difference:+.1%} beside it. Dates stand on the middle of speeds, and so are earlier than the plan's."
    )


# Rows for tables


def share(value: float) -> str:
    """A share in whole percents, and never a false nothing or all."""
    return "under 1%" if 0 < value < 0.01 else "over 99%" if 0.99 < value < 1 else f"{value:.0%}"


def date(q: Any, key: str = "p50") -> str:
    """A day as people read it."""
    return "beyond" if q[key] is None else f"{q[key]:,.0f}"


def span(q: Any) -> str:
    """p10 to p90."""
    return "" if all(v is None for v in q.values()) else f"{date(q, 'p10')}–{date(q, 'p90')}"


def generations(of: Runway) -> list[dict[str, Any]]:
    """One row a generation."""
    return [
        {
            "generation": g.name,
            "model": f"{units.show_count(g.parameters)}, {units.show_count(g.active_parameters)} active",
            "tokens": units.show_count(g.tokens),
            "start": dated(g.start_days),
            "end": dated(g.end_days),
            "chance": share(g.chance),
            "done": f"{g.done:.0%}",
            "basis": based(g.basis or None, g.rests_on),
        }
        for g in of.generations
    ]


def trained(of: Runway) -> list[dict[str, Any]]:
    """One row a generation: who trains it, halfway through, and how much of the time counts."""
    return [
        {
            "generation": g.name,
            "time that counts": "" if g.effective_share is None else f"{g.effective_share:.1%}",
            "trained by (chips)": ", ".join(f"{p} {n:,.0f}" for p, n in g.pools.items()) or "nobody",
        }
        for g in of.generations
    ]


def suffices(of: Runway) -> list[dict[str, Any]]:
    """Until when the stock suffices."""
    return [
        {"use": use, "suffices until day": dated(q), "all through": share(chance),
         "basis": of.suffices_basis[use] or ""}
        for use, q, chance in (
            ("serving", of.serving_until, of.serving_chance), ("training", of.training_until, of.training_chance),
        )
    ]  # fmt: skip


def failures(of: Runway) -> list[dict[str, Any]]:
    """What another failure rate would do: a row a generation, and what is done in all."""
    rates = {f"failures {s.failures:g}x": s for s in of.failures}
    return [
        *(
            {"generation": g.name}
            | {rate: _dated(s.end_days[g.name], s.interval_days[g.name]) for rate, s in rates.items()}
            for g in of.generations
        ),
        {"generation": "trained in the mean"} | {rate: f"{s.generations:.2f}" for rate, s in rates.items()},
    ]


def dated(q: Any) -> str:
    """A date with its p10 to p90: `151 (133–177)`."""
    return _dated(q["p50"], (q["p10"], q["p90"]))


def _dated(day: float | None, interval: tuple[float | None, float | None]) -> str:
    """A day with its p10 to p90; alone where all are beyond."""
    low, middle, high = ("beyond" if d is None else f"{d:,.0f}" for d in (interval[0], day, interval[1]))
    return middle if low == middle == high else f"{middle} ({low}–{high})"


def headline(of: Runway) -> str:
    """The answer in a sentence."""
    whole = of.finished["p50"] or 0
    sure = of.finished["p10"] or 0
    more = f"; {sure:.0f} in nine futures of ten" if sure != whole else ""
    return (
        f"{of.scenario}: {whole:.0f} generation{'' if whole == 1 else 's'} trained in "
        f"{of.horizon_days / (MONTH_S / DAY_S):.0f} months in the median{more}; {of.expected_generations:.2f} in the "
        "mean, parts counted"
    )


def flat(of: Runway) -> list[dict[str, Any]]:
    """One row a generation, for CSV."""
    return [
        {
            "name": g.name, "parameters": g.parameters, "tokens": g.tokens, "flop": g.flop,
            **{f"start_{k}": v for k, v in g.start_days.items()}, **{f"end_{k}": v for k, v in g.end_days.items()},
            "chance": g.chance, "done": g.done, "effective_share": g.effective_share,
            "pools": " ".join(f"{p}:{n:.0f}" for p, n in g.pools.items()), "binds": g.binds, "basis": g.basis,
        }
        for g in of.generations
    ]  # fmt: skip


def levers_headline(of: Levers) -> str:
    """What helps most, in a sentence."""
    most = of.levers[0] if of.levers else None
    said = "" if most is None else f"; what lengthens it most: {most.name} ({most.generations:+.2f})"
    return f"{of.scenario}: {of.generations:.2f} generations in {of.horizon_days / (MONTH_S / DAY_S):.0f} months{said}"


def _lever(x: Lever) -> dict[str, Any]:
    before, after = ("beyond" if d is None else f"{d:,.0f}" for d in x.end_days)
    moved = "" if before == after else f"{before} → {_dated(x.end_days[1], x.end_interval)}"
    return {
        "lever": x.name, "kind": x.kind, "generations": f"{x.generations:+.2f}",
        "80% of futures": f"{x.p10:+.2f} to {x.p90:+.2f}", "next end, day": moved, "basis": x.basis, "note": x.note,
    }  # fmt: skip


def _span(r: tuple[float, float, float] | None) -> str:
    return "cannot" if r is None else f"{r[0]:.1f} ({r[1]:.1f}–{r[2]:.1f})"


def _serves(ratios: list[tuple[float, float, float] | None]) -> str:
    found = sorted(r for r in ratios if r is not None)
    if not found:
        return "cannot"
    missing = len(ratios) - len(found)
    also = f", {missing} of {len(ratios)} workloads not at all" if missing else ""
    return f"{found[0][0]:.1f} to {found[-1][0]:.1f} ({found[0][1]:.1f}–{found[-1][2]:.1f}){also}"


def levers(of: Levers) -> list[tuple[str, list[dict[str, Any]]]]:
    """Tables: what would lengthen it, what it lives on, what replaces what."""
    tables = [("What would lengthen it", [_lever(x) for x in of.levers])]
    if of.in_use:
        tables.append(("What it lives on: generations without it", [_lever(x) for x in of.in_use]))
    ratios = [
        {
            "for one": r.export, "chips of": r.domestic, "owned": "yes" if r.owned else "no",
            **{f"to train {g}": _span(v) for g, v in r.training.items()},
            "to serve (least to most by workload)": _serves(list(r.serving.values())),
        }
        for r in of.replacement
    ]  # fmt: skip
    if ratios:
        tables.append(("What replaces an export chip (80% interval)", ratios))
    return tables


def flat_levers(of: Levers) -> list[dict[str, Any]]:
    """One row a lever, for CSV."""
    return [
        {
            "kind": x.kind, "lever": x.name, "generations": x.generations, "p10": x.p10, "p90": x.p90,
            "end_before": x.end_days[0], "end_after": x.end_days[1], "end_after_p10": x.end_interval[0],
            "end_after_p90": x.end_interval[1], "basis": x.basis, "note": x.note,
        }
        for x in (*of.levers, *of.in_use)
    ]  # fmt: skip
