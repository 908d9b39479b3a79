"""Plans as tidy columns."""

from __future__ import annotations

import subprocess
import sys

import pytest
from tests.plan.scenarios import SMALL, planned

from eke.errors import InputError
from eke.plan import parse
from eke.plan.plan import Plan


@pytest.fixture(scope="module")
def small() -> Plan:
    """The plan of the small scenario."""
    return planned(SMALL)


def test_columns_are_even_and_complete(small: Plan) -> None:
    """A row a placement, a pool and slot, a workload and slot; every column as long as the others."""
    rows = {"placements": len(small.placements), "pools": 2 * small.slots, "workloads": 3 * small.slots}
    for which, n in rows.items():
        frame = small.to_frame(which)  # type: ignore[arg-type]
        assert {len(column) for column in frame.values()} == {n}
        assert len(frame.rows) == n
    placements = small.to_frame()
    assert {"workload", "pool", "chips", "tp", "requests_per_s", "tokens_per_s"} <= set(placements)
    assert sum(placements["chips"]) == pytest.approx(sum(sum(p.used_chips) for p in small.pools))


def test_what_there_is_not(small: Plan) -> None:
    """Another table is an input error."""
    with pytest.raises(InputError, match="recipes"):
        small.to_frame("recipes")  # type: ignore[arg-type]


def test_notebooks_show_plans_and_scenarios(small: Plan) -> None:
    """Plan, scenario and frame as HTML name what they hold, and nothing in them is markup."""
    for shown in (small._repr_html_(), parse(SMALL.replace("name: small", "name: <b>"))._repr_html_()):
        assert "h800" in shown
        assert "chat" in shown
        assert "<b>" not in shown
    assert "<table>" in small.to_frame("pools")._repr_html_()


def test_import_eke_is_light() -> None:
    """`import eke` loads no NumPy, no solver, no table library."""
    code = "import sys, eke; sys.exit(any(m in sys.modules for m in ('numpy', 'highspy', 'pydantic', 'altair')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
