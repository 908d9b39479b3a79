"""Plans in the page's words."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from eke.console import views
from eke.plan import plan as plans
from eke.plan.plan import Plan


@pytest.fixture
def plan(full: Path) -> Plan:
    """The plan of the whole run."""
    return plans.read(full / "plan.json")


def test_matrix_shows_each_placement_once(plan: Plan) -> None:
    """A cell is filled exactly where the plan places a workload in a pool."""
    placed = {(p.pool, p.workload) for p in plan.placements}
    names = [w.name for w in plan.workloads]
    shown = {(row.name, names[i]) for row in views.matrix(plan) for i, cell in enumerate(row.cells) if cell}
    assert shown == placed


def test_a_recipe_is_told_once(plan: Plan) -> None:
    """24 slots of one recipe are one row, with its replicas from least to most."""
    rows = views.recipes(plan)
    assert len(rows) == 9
    night = next(r for r in rows if r.workload == "clean-corpus" and r.pool == "h20")
    assert night.replicas.startswith("0–")


def test_colours_follow_the_kind(plan: Plan) -> None:
    """Workloads of one kind have different colours of one family."""
    chosen = views.styles(plan)
    assert chosen["hunyuan-next"] == "train-0"
    assert len(set(chosen.values())) == len(chosen)


def test_a_promise_half_kept_says_how_much(full: Path) -> None:
    """What is served of what is asked is told at its worst hour."""
    document = json.loads((full / "plan.json").read_text())
    document["workloads"][0]["served_rps"][12] *= 0.5
    (full / "plan.json").write_text(json.dumps(document))
    assert "at worst 50%" in views.promises(plans.read(full / "plan.json"))[0]["gets"]


@pytest.mark.parametrize(
    ("value", "shown"), [(None, "–"), (2048, "2,048"), (0.5, "0.5"), (0.000423, "0.000423"), (1.0, "1")]
)
def test_numbers(value: float | None, shown: str) -> None:
    """Numbers are short, whole ones without a point."""
    assert views.number(value) == shown


def test_figures_carry_their_source() -> None:
    """Every figure of a chip has a status; an unknown chip has no figures rather than invented ones."""
    figures = views.chip_figures("H20-96")
    assert figures
    assert all(f["status"] and f["source"] for f in figures)
    assert views.chip_figures("somebody's own CPU") is None
