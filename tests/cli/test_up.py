"""`eke up` starts exactly the plan, on exactly the stock it was made for, or says why not."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from eke import home
from eke.cli import up
from eke.errors import EkeError, FleetChanged, InputError
from eke.fleet.chip import Chip
from eke.fleet.pool import Fleet, Pool
from eke.plan import load, make, planner
from eke.plan import reading as reading

SCENARIO = Path(__file__).parents[2] / "examples" / "this-machine.yaml"
FOUR = Chip("four-cores", "me", {"fp32": 3e11, "bf16": 12e11, "int8": 8e11}, 16e9, 4e10, kind="cpu", cores=4)


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A measured machine of four cores."""
    fleet = Fleet((Pool("this-machine", FOUR, 1, 1),))
    monkeypatch.setattr(reading, "_detect", lambda: fleet)
    monkeypatch.setattr(planner, "measured", lambda f: f)
    monkeypatch.setattr("os.sched_getaffinity", lambda _pid: {0, 1, 2, 3})
    monkeypatch.setattr("eke.cli.models.fetch_shown", lambda name: Path(f"/weights/{name}.gguf"))


def test_tasks_share_the_cores_and_none_is_given_twice() -> None:
    """Every replica gets as many cores as its recipe has threads; the trainer gets its own; the service any."""
    scenario = load(SCENARIO)
    plan = make(scenario, best_effort=True)
    tasks = up.tasks_of(scenario, plan, home.run("x"), 8400)
    cores = [c for t in tasks if not t.standby for c in t.cpus]
    assert len(cores) == len(set(cores))
    assert {t.kind for t in tasks} == {"engine", "trainer", "service"}
    threads = sum(p.replicas * p.recipe["threads"] for p in plan.placements)
    assert len(cores) == threads
    assert json.loads((home.run("x") / "train" / "next-generation" / "job.json").read_text())["sequence"] == 256


def test_a_served_workload_may_borrow_the_trainers_cores() -> None:
    """There is one standby replica a workload, if less important training holds cores enough for it."""
    scenario = load(SCENARIO)
    tasks = up.tasks_of(scenario, make(scenario, best_effort=True), home.run("x"), 8400)
    (standby,) = [t for t in tasks if t.standby]
    assert standby.name == "assistant-standby"
    trainer = next(t for t in tasks if t.kind == "trainer")
    assert len(standby.cpus) <= len(trainer.cpus)
    assert standby.priority < trainer.priority


def test_a_plan_with_roles_is_refused(tmp_path: Path) -> None:
    """Engines here read and write: a saved plan that divides them is refused, with the way out."""
    made = make(load(SCENARIO), best_effort=True)
    divided = tuple(replace(p, role="prefill") if p.kind == "serve" else p for p in made.placements)
    saved = replace(made, placements=divided).write(tmp_path / "plan.json")
    with pytest.raises(InputError, match="assistant") as refused:
        up._planned(saved, best_effort=True)
    assert "without: [prefill-decode-split]" in (refused.value.remedy or "")


def test_a_plan_for_another_stock_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The digest of the fleet is in the plan; when the machine has changed, nothing starts."""
    saved = make(load(SCENARIO), best_effort=True).write(tmp_path / "plan.json")
    monkeypatch.setattr(reading, "_detect", lambda: Fleet((Pool("this-machine", FOUR, 2, 1),)))
    with pytest.raises(FleetChanged):
        up._planned(saved, best_effort=True)


def test_promises_that_cannot_be_kept_are_not_started_unasked(tmp_path: Path) -> None:
    """Without --best-effort an infeasible plan starts nothing."""
    much = SCENARIO.read_text().replace("0.2/s", "500/s")
    (tmp_path / "much.yaml").write_text(much)
    with pytest.raises(EkeError, match="nothing is started"):
        up._planned(tmp_path / "much.yaml", best_effort=False)


def test_a_plan_for_other_machines_is_not_started_here() -> None:
    """A scenario that names its pools is planned, not run, on this machine."""
    with pytest.raises(InputError, match="not for this machine"):
        up._planned(SCENARIO.parent / "mixed-fleet.yaml", best_effort=False)
