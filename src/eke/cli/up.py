"""`eke up`: from a scenario or a saved plan to what runs; where plan, weights, engines, trainer and service meet."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from eke import home
from eke.cli.output import page, talk
from eke.errors import EkeError, FleetChanged, InputError, NotInstalled

if TYPE_CHECKING:
    from eke.plan.plan import Placement, Plan
    from eke.plan.scenario import Scenario
    from eke.runtime.base import Task
    from eke.runtime.state import Process

SERVICE = "gateway"
STANDBY = "-standby"
DIVIDED = "prefill-decode-split"
PARTS = {"llamacpp": ("xllamacpp", "the embedded engine", "local"), "torch": ("torch", "training", "train")}
"""By engine of a recipe: the module it needs, what that is, and the extra that brings it."""
WELCOME = """
[bold green]running[/]  console  {address}/
         OpenAI   {address}/v1
         logs     {logs}
"""
CURL = """curl {address}/v1/chat/completions -H 'Content-Type: application/json' \\
  -d '{{"model": "{model}", "messages": [{{"role": "user", "content": "Why is the sky blue?"}}]}}'
"""


def up(
    target: Annotated[Path, typer.Argument(help="A scenario (YAML), or a plan that `eke plan --save` wrote (JSON).")],
    best_effort: Annotated[
        bool, typer.Option("--best-effort", help="Run also where not every promise can be kept.")
    ] = False,
    port: Annotated[int, typer.Option(help="Where the service and the console listen, on 127.0.0.1.")] = 8400,
) -> None:
    """Plan, fetch what is needed, and run it until Ctrl-C; what dies is started again."""
    from eke.runtime import run

    began = time.monotonic()
    scenario, plan = _planned(target, best_effort)
    folder = home.run(scenario.name)
    _ready(scenario, plan, folder, port)
    tasks = tasks_of(scenario, plan, folder, port)
    folder.mkdir(parents=True, exist_ok=True)
    plan.write(folder / "plan.json")
    if not run.up(folder, tasks, _Watch(scenario, folder, port, began)):
        talk.print(f"[dim]{scenario.name} goes on without this window; `eke down {scenario.name}` ends it[/]")


def _planned(target: Path, best_effort: bool) -> tuple[Scenario, Plan]:
    """The scenario and its plan, shown. A saved plan is taken as it is, if the stock is the one it was made for."""
    from eke.cli.plan import made, print_plan
    from eke.plan import load, reading
    from eke.plan.plan import read

    saved = read(target) if target.suffix == ".json" else None
    scenario = reading.parse(saved.source, target) if saved else load(target)
    if not scenario.detected:
        raise InputError(
            f"{scenario.name} plans for {sum(p.nodes for p in scenario.fleet.pools)} nodes, not for this machine",
            why="a plan is started on the machines it was made for",
            remedy="write `fleet: detect`, or look at the plan with `eke plan`",
        )
    if saved and saved.fleet_digest != scenario.fleet.digest:
        raise FleetChanged(
            f"{target} was made for another stock (digest {saved.fleet_digest}, here {scenario.fleet.digest})",
            remedy="make the plan again: eke plan",
        )
    undivided = replace(scenario, without=scenario.without | {DIVIDED})  # an engine here both reads and writes
    plan = saved or made(undivided, best_effort=best_effort)
    if divided := sorted({p.workload for p in plan.placements if p.role in ("prefill", "decode")}):
        raise InputError(
            f"{target} reads prompts and writes answers of {', '.join(divided)} in different pools",
            why="engines that `eke up` starts do both",
            remedy=f"write `without: [{DIVIDED}]` in the scenario and make the plan again: eke plan",
        )
    print_plan(plan)
    if not plan.placements or not (plan.feasible or best_effort):
        raise EkeError("not every promise can be kept, so nothing is started", remedy="eke up --best-effort")
    return scenario, plan


def _ready(scenario: Scenario, plan: Plan, folder: Path, port: int) -> None:
    """Refuse to start what could not run: an engine or trainer not installed, a run that is up elsewhere."""
    from eke.runtime import run
    from eke.runtime.state import State

    for engine in sorted({str(p.recipe["engine"]) for p in plan.placements}):
        module, part, extra = PARTS.get(engine, ("eke", "", ""))
        if find_spec(module) is None:
            raise NotInstalled(part, extra)
    if folder.exists() and run.controller(folder) is not None:
        there = next((p.port for p in State(folder).processes() if p.task == SERVICE), port)
        if there not in (None, port):
            raise InputError(
                f"{scenario.name} is up already, at port {there}",
                remedy=f"use that one, or end it first: eke down {scenario.name}",
            )


def tasks_of(scenario: Scenario, plan: Plan, folder: Path, port: int) -> list[Task]:
    """What the plan wants in the current slot, most important first, each on cores of its own; and the service."""
    from eke.plan.scenario import Train
    from eke.runtime.base import Task
    from eke.training.task import task as trainer

    owed = {w.name: w for w in scenario.workloads}
    cores = iter(sorted(os.sched_getaffinity(0)))
    slot = int(time.time() % 86400 * plan.slots / 86400)
    tasks: list[Task] = []
    for placement in sorted(plan.placements, key=lambda p: owed[p.workload].priority):
        w = owed[placement.workload]
        for number in range(placement.replicas if placement.slot == slot else 0):
            cpus = _take(cores, placement.recipe["threads"])
            if isinstance(w, Train):
                sizes = int(w.tokens), w.sequence, int(w.global_batch), len(cpus)
                tasks.append(trainer(folder, w.name, placement.model, *sizes, cpus, priority=w.priority))
            else:
                tasks.append(_engine(placement, f"{w.name}-{number}", cpus, w.priority))
    tasks += _standbys(tasks)
    argv = (sys.executable, "-m", "eke", "serve", str(folder), "--port", "{port}")
    return [*tasks, Task(SERVICE, "service", argv, port=port, health="/healthz", priority=0)]


def _take(cores: Iterator[int], number: int) -> tuple[int, ...]:
    taken = tuple(islice(cores, number))
    if len(taken) < number:
        raise FleetChanged("the plan needs more cores than this process may use", remedy="make it again: eke plan")
    return taken


def _engine(placement: Placement, name: str, cpus: tuple[int, ...], priority: int) -> Task:
    """A replica of the placement's recipe; its weights are fetched if they are not here."""
    from eke.cli.models import fetch_shown
    from eke.runtime.engines import engine
    from eke.runtime.engines.base import Replica

    recipe, of = placement.recipe, placement
    slots, context = recipe["max_batch"], recipe["context"]
    weights = str(fetch_shown(of.model))
    replica = Replica(name, of.workload, of.model, weights, slots, context, cpus, of.variant, of.pool, priority)
    return engine(recipe["engine"]).task(replica)


def _standbys(tasks: Sequence[Task]) -> list[Task]:
    """For each served workload one more replica: while requests wait, it takes the cores of less important training."""
    found = []
    for first in {t.labels["workload"]: t for t in reversed(tasks) if t.kind == "engine"}.values():
        lent = sum(len(t.cpus) for t in tasks if t.kind == "trainer" and t.priority > first.priority)
        if lent:
            name = f"{first.labels['workload']}{STANDBY}"
            found.append(replace(first, name=name, standby=True, cpus=first.cpus[:lent]))
    return found


class _Watch:
    """Says what changed, and once all is ready, how to use it."""

    def __init__(self, scenario: Scenario, folder: Path, port: int, began: float) -> None:
        self._name, self._logs, self._address = scenario.name, folder / "logs", f"http://127.0.0.1:{port}"
        self._served = [w.name for w in scenario.workloads if w.kind == "serve"]
        self._began, self._welcomed = began, False
        self._said: dict[str, str] = {}

    def __call__(self, processes: Sequence[Process]) -> None:
        for process in processes:
            word = f"{process.status}: {process.error}" if process.status == "backoff" else process.status
            if self._said.get(process.task, "stopped") != word:
                talk.print(f"  [dim]{time.monotonic() - self._began:6.1f} s[/]  {process.task:<24} {escape(word)}")
            self._said[process.task] = word
        expected = [p for p in processes if not p.task.endswith(STANDBY)]
        if not self._welcomed and expected and all(p.status in ("ready", "done") for p in expected):
            self._welcomed = True
            self._welcome()

    def _welcome(self) -> None:
        page.print(WELCOME.format(address=self._address, logs=self._logs))
        if self._served:
            page.print(CURL.format(address=self._address, model=self._served[0]), highlight=False, soft_wrap=True)
        page.print(f"Ctrl-C stops everything; so does `eke down {self._name}` from anywhere.\n")
