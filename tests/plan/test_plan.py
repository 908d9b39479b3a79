"""Plan files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.plan.scenarios import SMALL, planned

from eke.errors import InputError
from eke.plan import Plan, read, show


@pytest.fixture(scope="module")
def plan() -> Plan:
    """The plan of the small scenario."""
    return planned(SMALL)


def test_a_plan_survives_its_file(plan: Plan, tmp_path: Path) -> None:
    """What is written is read back equal, and nothing else is left beside it."""
    file = plan.write(tmp_path / "plan.json")
    assert read(file) == plan
    assert [f.name for f in tmp_path.iterdir()] == ["plan.json"]


# The keys that others read: a plan file may have more, never fewer.
KEYS = {
    "": {
        "format", "scenario", "fleet_digest", "feasible", "objective", "seconds", "pools", "placements", "workloads",
        "infeasible_because",
    },
    "objective": {"name", "unit", "value", "bound", "gap"},
    "pools": {"name", "chip", "chips", "used_chips", "price", "price_unit"},
    "placements": {
        "workload", "kind", "role", "pool", "slot", "replicas", "chips_per_replica", "chips", "model", "variant",
        "recipe", "capacity", "share", "basis",
    },
    "workloads": {"name", "kind", "met"},
}  # fmt: skip


def test_keys_that_others_read(plan: Plan) -> None:
    """The file has the keys of the published format, and one number a slot and pool."""
    document = json.loads(json.dumps(plan.to_dict()))
    assert document["format"] == "eke.plan/1"
    for part, keys in KEYS.items():
        rows = document if not part else document[part]
        for row in rows if isinstance(rows, list) else [rows]:
            assert keys <= row.keys()
    assert all(len(p["used_chips"]) == 4 for p in document["pools"])
    by_kind = {p["kind"]: p for p in document["placements"]}
    assert {"engine", "tp", "pp", "dp", "ep", "max_batch", "chunked_prefill"} <= by_kind["serve"]["recipe"].keys()
    assert {"requests_per_s", "ttft_s", "tpot_s"} <= by_kind["serve"]["capacity"].keys()
    kept = {w["kind"]: w for w in document["workloads"]}
    assert {"demand_rps", "served_rps", "price_per_million_tokens"} <= kept["serve"].keys()
    assert {"tokens_per_s", "days", "mfu"} <= kept["train"].keys()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": "eke.plan/2"}', '{"format": "eke.plan/1"}'])
def test_other_files_are_refused(tmp_path: Path, text: str) -> None:
    """A file that is no plan is an input error that says how to make one."""
    file = tmp_path / "plan.json"
    file.write_text(text)
    with pytest.raises(InputError, match="eke plan"):
        read(file)


def test_shown_in_a_notebook(plan: Plan) -> None:
    """A plan shows itself as tables with its bound."""
    html = plan._repr_html_()
    assert html.count("<table>") == 3
    assert "any plan on this stock" in html
    assert len(show.pools(plan)) == 2
