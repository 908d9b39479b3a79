"""Ways out of what cannot hold: what is offered, made as it is printed, makes a plan that keeps every promise."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from eke import units
from eke.plan import load, make, parse, repairs
from eke.plan.plan import Plan, from_dict
from eke.plan.scenario import Train

SHORT = """
format: eke.scenario/1
name: short
fleet:
  pools:
    - {name: l20, chip: L20, nodes: 2, chips_per_node: 8}
    - {name: t4, chip: T4, nodes: 4, chips_per_node: 4}
workloads:
  - serve: chat
    model: Qwen3-32B
    traffic: {rate: 50/s, lengths: {prompt: {p50: 500}, output: {p50: 100}}}
    slo: {ttft: 1 s, tpot: 50 ms, percentile: 95}
  - train: tune
    model: Qwen3-8B
    tokens: 10B
    sequence: 4096
    global_batch: 1M
    deadline: 3 d
"""
"""Neither promise holds alone, and chat has no recipe at its latency."""


@pytest.fixture(scope="module")
def plan() -> Plan:
    """The answer to it."""
    return make(parse(SHORT))


def made(text: str, changes: tuple[str, ...]) -> str:
    """The scenario with these changes, read from how they are said."""
    document = yaml.safe_load(text)
    owed = {w.get("serve") or w.get("train") or w.get("batch"): w for w in document["workloads"]}
    pools = {p["name"]: p for p in document["fleet"]["pools"]}
    for change in changes:
        first, *words = change.split()
        if "node" in change:
            pools[change.split(" in ")[1].split()[0]]["nodes"] += int(first)
        elif first == "without":
            document["workloads"].remove(owed[words[0]])
        elif words[0] == "with":
            owed[first]["slo"][words[1].lower()] = " ".join(words[2:4])
        elif words[0] == "at":
            owed[first]["traffic"]["rate"] = words[1]
        else:
            owed[first]["deadline"] = " ".join(words[1:3])
    return yaml.safe_dump(document)


def test_what_mends_all_of_it_does(plan: Plan) -> None:
    """Each list of changes names every conflict's way out; with all of them made, a plan keeps all promises."""
    assert len(plan.infeasible_because) > 1
    assert any("more L20 nodes" in c for changes in plan.together for c in changes)
    assert any(c.startswith("tune in") for changes in plan.together for c in changes)
    for changes in plan.together:
        assert make(parse(made(SHORT, changes))).feasible, changes


def test_one_change_of_it_is_not_enough(plan: Plan) -> None:
    """What is to be done together is not too much: without one of the changes, promises break."""
    changes = plan.together[0]
    for one in changes:
        assert not make(parse(made(SHORT, tuple(c for c in changes if c != one)))).feasible, one


def test_where_every_repair_is_enough_no_more_is_said() -> None:
    """One conflict over all promises: its repairs already mend the whole."""
    alone = make(parse(SHORT.split("  - train: tune")[0]))
    assert alone.infeasible_because
    assert not alone.together


def test_it_is_kept_in_the_file(plan: Plan) -> None:
    """A plan file read back says the same; an older one, without it, is read too."""
    assert from_dict(plan.to_dict()).together == plan.together
    assert from_dict({k: v for k, v in plan.to_dict().items() if k != "together"}).together == ()


@given(share=st.floats(0.01, 1.0))
def test_what_is_said_is_no_more_than_what_holds(share: float) -> None:
    """A smaller promise is as large as it is printed, and never larger than the share that holds."""
    chat, tune = parse(SHORT).workloads
    fewer, said = repairs.smaller(chat, share)
    rate = fewer.traffic.rate_per_s  # type: ignore[union-attr]
    assert 0.98 * 50 * share <= rate <= 50 * share * (1 + 1e-9)
    assert units.read("per_s", said.split(" at ")[1].split(" ")[0]) == pytest.approx(rate)
    later, said = repairs.smaller(tune, share)
    assert isinstance(later, Train)
    assert later.deadline_s is not None
    assert 3 * 86400 / share <= later.deadline_s * (1 + 1e-9) <= 3 * 86400 / share * 1.02
    assert units.read("seconds", said.split(" in ")[1].split(" instead")[0]) == pytest.approx(later.deadline_s)


def test_the_reference(shared_data) -> None:  # type: ignore[no-untyped-def]
    """Of the reference scenario that cannot hold, every list of changes makes a plan."""
    path = shared_data.parent / "scenarios" / "infeasible.yaml"
    found = make(load(path)).together
    assert len(found) >= 2
    for changes in found:
        assert make(parse(made(path.read_text(), changes))).feasible, changes
