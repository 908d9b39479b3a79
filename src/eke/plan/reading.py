"""Reads a scenario file: text to nouns, names looked up, and everything that is wrong told at once.

It knows what a scenario may say; it knows no recipe and no solver.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from eke import document as yaml_text
from eke.errors import InputError, UnknownName
from eke.fleet import catalogue as chips
from eke.fleet.chip import Chip
from eke.fleet.pool import Fleet, Link, Pool
from eke.models import catalogue as models
from eke.models.architecture import Architecture
from eke.plan import bare, mistakes, optimisations, profiles, traces
from eke.plan.distribution import Distribution, constant, from_quantiles, too_long
from eke.plan.scenario import Alternative, Arrival, Batch, Generations, Scenario, Serve, Slo, Traffic, Train, Workload
from eke.plan.sections import (
    WORKLOADS,
    BatchSection,
    FleetSection,
    GenerationsSection,
    InlineChip,
    LengthsSection,
    PoolSection,
    Section,
    ServeSection,
    Top,
    TrafficSection,
    TrainSection,
)  # fmt: skip

S = TypeVar("S", bound=Section)

NODES_DOWN = 0.02
"""Share of nodes down at a time: 6.5 failures per 1,000 node-days (Meta RSC-1, arXiv 2410.21680) times three days to
mend
one (estimated). Rounded to whole nodes, so that small pools lose none."""


TOO_LONG = 0.5
"""Share of requests too long for the model from which a scenario is a mistake; fewer are told in the plan's notes."""


def load(path: str | Path) -> Scenario:
    """The scenario in a YAML file.

    Raises:
        InputError: everything that is wrong, each with its key, its value, what was expected and an example.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = str(getattr(error, "strerror", "")) or str(error)
        raise InputError(
            f"scenario {str(path)!r} cannot be read", why=why, remedy="give the path of a scenario file"
        ) from error
    return parse(text, path)


def parse(text: str, path: Path | None = None) -> Scenario:
    """The scenario in `text`; paths in it are relative to `path`'s folder."""
    try:
        said = yaml_text.read(text)
    except InputError:
        raise
    except (yaml.YAMLError, ValueError) as error:
        mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
        why = f"line {mark.line + 1}, column {mark.column + 1}: {problem}" if mark and problem else str(error)
        what = f"scenario {str(path)!r}" if path else "the scenario"
        raise InputError(
            f"{what} is not YAML", why=why, remedy="mend that line; `eke init` writes a whole scenario"
        ) from error
    if not isinstance(said, dict):
        raise InputError("the scenario is empty or not a table", remedy="begin with format: eke.scenario/1")
    if str(said.get("format", "")).startswith("eke.plan/"):
        raise InputError(
            f"{str(path) if path else 'this'!r} is a plan, not a scenario",
            remedy="eke up runs it, eke explain explains it",
        )
    reader = _Reader(path)
    scenario = reader.scenario(said)
    if reader.wrong or scenario is None:
        raise mistakes.together([mistakes.placed(e, text) for e in reader.wrong], path)
    return replace(scenario, source=text, notes=(*reader.notes, *bare.remarks(said)))


@dataclass
class _Reader:
    """Reads on after an error, so that all of them are told."""

    path: Path | None
    wrong: list[InputError] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def scenario(self, document: dict[Any, Any]) -> Scenario | None:
        top = self.section(Top, document, "")
        raw = document.get("workloads") if top is None else top.workloads
        slots = top.slots if top else 24
        detected = document.get("fleet") == "detect"
        fleet = _detect() if detected else self.fleet(document.get("fleet")) if "fleet" in document else None
        workloads = [
            self.workload(w, i, slots, top is not None) for i, w in enumerate(raw if isinstance(raw, list) else [])
        ]
        kept = tuple(w for w in workloads if w is not None)
        if top and fleet:
            self.names(kept, fleet)
        without = [self.attempt("without", optimisations.optimisation, name) for name in top.without] if top else []
        generations = self.generations(top.generations, kept, fleet) if top and top.generations and fleet else None
        if self.wrong or top is None or fleet is None:
            return None
        off = frozenset(o.name for o in without)
        return Scenario(
            top.name, fleet, kept, top.objective, top.slots, generations, detected, self.path, without=off
        )  # fmt: skip

    def section(self, model: type[S], value: object, where: str) -> S | None:
        """`value` as `model`; what is wrong is noted under `where`."""
        try:
            return model.model_validate(value)
        except ValidationError as error:
            self.wrong += mistakes.found(model, error.errors(), where)
            return None

    def attempt(self, where: str, function: Any, *args: Any) -> Any:
        """What `function` gives, or None with its error noted under `where`."""
        try:
            return function(*args)
        except InputError as error:
            self.wrong.append(InputError(f"{where}: {error.what}", why=error.why, remedy=error.remedy))
            return None

    def fleet(self, value: object) -> Fleet | None:
        if not isinstance(value, Mapping):
            neither = f"{mistakes.shown(value)} is neither a table with pools nor `detect`"
            self.wrong.append(
                InputError(
                    f"fleet: {'is empty' if value is None else neither}",
                    remedy="fleet: {pools: [{name: h20, chip: H20-96, nodes: 16}]}",
                )
            )
            return None
        section = self.section(FleetSection, value, "fleet")
        if section is None:
            return None
        pools = [self.pool(p, f"fleet.pools[{i}] ({p.name})") for i, p in enumerate(section.pools)]
        names = [p.name for p in section.pools]
        self.unique("fleet.pools", names)
        for link in section.links:
            for end in link.between:
                self.known("fleet.links", "pool", end, names)
        links = tuple(Link(link.between, link.bandwidth) for link in section.links)
        return Fleet(tuple(p for p in pools if p is not None), links)

    def pool(self, p: PoolSection, where: str) -> Pool | None:
        chip = _inline(p.chip) if isinstance(p.chip, InlineChip) else self.attempt(f"{where}.chip", chips.chip, p.chip)
        if p.reserved > p.nodes:
            self.wrong.append(
                InputError(f"{where}.reserved: {p.reserved} of {p.nodes} nodes", remedy=f"{where}.reserved: 0")
            )
        if chip is None:
            return None
        if p.power_cap is not None and not chip.tdp:
            self.wrong.append(
                InputError(
                    f"{where}.power_cap: what a {chip.name} draws is not known",
                    remedy="describe the chip inline with its tdp, or set `reserved` nodes instead",
                )
            )
        if isinstance(p.chip, str) and (others := _others(p.chip, chip)):
            said = f"{where}.chip: {p.chip} was read as {chip.name}; there {'are' if len(others) > 1 else 'is'} also"
            self.notes.append(f"{said} {', '.join(others)}.")
        available = p.available if p.available is not None else available_by_default(p.nodes)
        network = p.scale_out or chip.scale_out
        return Pool(p.name, chip, p.nodes, p.chips_per_node, network, available, p.reserved, p.power_cap, p.storage)

    def workload(self, value: object, index: int, slots: int, slots_known: bool) -> Workload | None:
        kinds = [k for k in WORKLOADS if isinstance(value, Mapping) and k in value]
        where = f"workloads[{index}]"
        if not isinstance(value, Mapping):
            told = f"{where}: {mistakes.shown(value)} is not a table"
            self.wrong.append(InputError(told, remedy="{serve: chat, model: Qwen3-8B, …}"))
            return None
        if len(kinds) != 1:
            has = " and ".join(kinds) or "none"
            self.wrong.append(
                InputError(f"{where}: has {has} of serve, train, batch; exactly one names it", remedy="serve: chat")
            )
            return None
        where += f" ({value[kinds[0]]})"
        section = self.section(WORKLOADS[kinds[0]], value, where)
        if section is None:
            return None
        architecture = self.attempt(f"{where}.model", self.architecture, section.model)
        if isinstance(section, ServeSection):
            return self.serve(section, architecture, where, slots, slots_known)
        if isinstance(section, TrainSection):
            return _train(section, architecture) if architecture else None
        return self.batch(section, architecture, where)

    def architecture(self, name: str) -> Architecture:
        """By catalogue name, or the path of a config.json relative to the scenario."""
        beside = self.path.parent / name if self.path and name.endswith(".json") else None
        return models.architecture(str(beside) if beside and beside.exists() else name)

    def serve(
        self, s: ServeSection, architecture: Architecture | None, where: str, slots: int, slots_known: bool
    ) -> Serve | None:
        alternatives = []
        for i, a in enumerate(s.alternatives):
            found = self.attempt(f"{where}.alternatives[{i}].model", self.architecture, a.model)
            if found is not None:
                alternatives.append(Alternative(a.model, found, a.quality, a.share))
        traffic = self.traffic(s.traffic, f"{where}.traffic", slots, slots_known)
        if architecture is None or traffic is None:
            return None
        return Serve(
            s.serve, s.model, architecture, traffic, Slo(s.slo.ttft, s.slo.tpot, s.slo.percentile),
            tuple(s.variants) if s.variants else None, tuple(alternatives), s.min_quality, s.priority, s.value,
            tuple(s.pools) if s.pools else None, s.survives,
        )  # fmt: skip

    def batch(self, b: BatchSection, architecture: Architecture | None, where: str) -> Batch | None:
        lengths = self.lengths(b.lengths, f"{where}.lengths")
        if architecture is None or lengths is None:
            return None
        return Batch(
            b.batch, b.model, architecture, b.tokens_per_day, *lengths, tuple(b.variants) if b.variants else None,
            b.min_quality, b.prefix_hit, b.priority, b.value, tuple(b.pools) if b.pools else None,
        )  # fmt: skip

    def traffic(self, t: TrafficSection, where: str, slots: int, slots_known: bool) -> Traffic | None:
        if (t.trace is None) == (t.rate is None or t.lengths is None):
            self.wrong.append(
                InputError(
                    f"{where}: needs rate and lengths, or trace",
                    remedy="rate: 20/s, lengths: {prompt: {p50: 1020}, output: {p50: 129}}",
                )
            )
            return None
        profile: Any = t.profile or "flat"
        if not slots_known and not isinstance(profile, str):
            profile = "flat"
        if t.trace is None:
            day = self.attempt(f"{where}.profile", profiles.multipliers, profile, slots)
            lengths = self.lengths(t.lengths, f"{where}.lengths") if t.lengths else None
            return Traffic(t.rate or 0.0, day, *lengths, t.prefix_hit or 0.0) if day and lengths else None
        file = Path(t.trace) if self.path is None else self.path.parent / t.trace
        trace: traces.Trace | None = self.attempt(f"{where}.trace", traces.read, file)
        if trace is None:
            return None
        width = 24 // slots
        recorded = tuple(max(trace.hours[i * width : (i + 1) * width]) for i in range(slots))
        day = self.attempt(f"{where}.profile", profiles.multipliers, profile, slots) if t.profile else recorded
        hit = trace.prefix_hit if t.prefix_hit is None else t.prefix_hit
        rate = trace.rate_per_s if t.rate is None else t.rate
        return Traffic(rate, day, trace.prompt, trace.output, hit) if day else None

    def lengths(self, lengths: LengthsSection, where: str) -> tuple[Distribution, Distribution] | None:
        both = [self.attempt(f"{where}.{k}", _distribution, getattr(lengths, k)) for k in ("prompt", "output")]
        return (both[0], both[1]) if None not in both else None

    def names(self, workloads: tuple[Workload, ...], fleet: Fleet) -> None:
        """Names that must be unique or known."""
        self.unique("workloads", [w.name for w in workloads])
        pools = [p.name for p in fleet.pools]
        for w in workloads:
            self.readable(w)
            for pool in w.pools or ():
                self.known(f"workloads ({w.name}).pools", "pool", pool, pools)

    def readable(self, w: Workload) -> None:
        """Most requests must fit the model's context."""
        if isinstance(w, Train):
            return
        asks = w.traffic if isinstance(w, Serve) else w
        share = too_long(asks.prompt, asks.output, w.architecture.max_context)
        if share > TOO_LONG:
            self.wrong.append(
                InputError(
                    f"workloads ({w.name}): {share:.0%} of its requests are longer than the "
                    f"{w.architecture.max_context:,} tokens that {w.model} reads",
                    why=f"prompts up to {asks.prompt.values[-1]:,.0f} tokens, and {asks.output.mean:,.0f} written",
                    remedy="a model with a longer context, or lengths as they are after cutting",
                )
            )

    def generations(self, g: GenerationsSection, workloads: tuple[Workload, ...], fleet: Fleet) -> Generations:
        pools = [p.name for p in fleet.pools]
        self.known("generations.first", "train workload", g.first, [w.name for w in workloads if isinstance(w, Train)])
        for name in g.attrition:
            self.known("generations.attrition", "pool", name, ["default", *pools])
        for arrival in g.arrivals:
            self.known("generations.arrivals", "pool", arrival.pool, pools)
        r = g.restarts
        return Generations(
            g.first, g.compute_growth, g.model_growth, g.serving_growth, g.horizon, tuple(g.attrition.items()),
            tuple(Arrival(a.pool, a.nodes, a.at, a.chance) for a in g.arrivals),
            *(() if r is None else (r.mean_time_between_failures, r.recovery, r.checkpoint, r.checkpoint_stall)),
        )  # fmt: skip

    def unique(self, where: str, names: list[str]) -> None:
        for name in sorted({n for n in names if names.count(n) > 1}):
            self.wrong.append(
                InputError(f"{where}: {name!r} is there {names.count(name)} times", remedy="give each its own name")
            )

    def known(self, where: str, kind: str, name: str, names: list[str]) -> None:
        if name not in names:
            error = UnknownName(kind, name, names)
            self.wrong.append(
                InputError(
                    f"{where}: {error.what}", why=error.why or f"there are {', '.join(names)}", remedy=error.remedy
                )
            )


def available_by_default(nodes: int) -> float:
    """Share of nodes that can be planned on when the scenario does not say."""
    return (nodes - round(nodes * NODES_DOWN)) / nodes if nodes else 1.0


def _others(name: str, chip: Chip) -> list[str]:
    """Chips that a short name may have meant as well."""
    if name.casefold() == chip.name.casefold():
        return []
    return [
        other for other in chips.chips() if other != chip.name and other.casefold().startswith(f"{name}-".casefold())
    ]


def _detect() -> Fleet:
    from eke.fleet import detect

    return detect.fleet()


def _inline(c: InlineChip) -> Chip:
    up = c.scale_up
    return Chip(
        c.name, "inline", c.flops, c.memory, c.memory_bandwidth, scale_up_chips=up.chips if up else 1,
        scale_up=up.bandwidth if up else None, tdp=c.tdp,
    )  # fmt: skip


def _train(t: TrainSection, architecture: Architecture) -> Train:
    return Train(
        t.train, t.model, architecture, t.tokens, t.sequence, t.global_batch, t.deadline, t.precision,
        tuple(t.pools) if t.pools else None, t.priority, t.value,
    )  # fmt: skip


def _distribution(value: dict[str, float] | float) -> Distribution:
    if not isinstance(value, dict):
        return constant(value)
    shares = {k: k.removeprefix("p") for k in value}
    if not value or not all(s.replace(".", "", 1).isdigit() for s in shares.values()):
        raise InputError(f"{mistakes.shown(value)} are not quantiles", remedy="{p50: 1020, p90: 2735, p99: 4142}")
    return from_quantiles({float(shares[k]) / 100: v for k, v in value.items()})
