"""Scenario files in, nouns or errors out."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from tests import strategies
from tests.plan.scenarios import SMALL

from eke.errors import InputError
from eke.fleet import detect
from eke.fleet.chip import Chip
from eke.fleet.pool import Fleet, Pool
from eke.plan import load, make, parse
from eke.plan.reading import available_by_default
from eke.plan.scenario import Batch, Serve, Train

REFERENCE = ("full-stack", "infeasible", "open-cluster", "ten-thousand-cards", "two-generations")


@pytest.mark.parametrize("name", REFERENCE)
def test_reference_scenarios_load_unchanged(shared_data: Path, name: str) -> None:
    """Every reference scenario loads, with its own name and all its workloads."""
    file = shared_data.parent / "scenarios" / f"{name}.yaml"
    scenario = load(file)
    assert scenario.name == name
    assert len(scenario.workloads) == sum(file.read_text().count(f"- {kind}: ") for kind in ("serve", "train", "batch"))


def test_numbers_are_in_base_units() -> None:
    """Rates, lengths, deadlines and links come out in requests/s, tokens, seconds and bytes/s."""
    scenario = parse(SMALL)
    chat, train, batch = scenario.workloads
    assert isinstance(chat, Serve)
    assert isinstance(train, Train)
    assert isinstance(batch, Batch)
    assert (chat.traffic.rate_per_s, chat.slo.ttft_s, chat.slo.tpot_s) == (40.0, 2.0, 0.06)
    assert len(chat.traffic.profile) == 4
    assert train.tokens_per_s == pytest.approx(1e11 / (90 * 86400))
    assert batch.requests_per_s == pytest.approx(2e8 / 86400 / 1100)
    assert scenario.fleet.pool("h800").scale_out == 50e9


def test_detect_takes_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """`fleet: detect` asks the detector, and says so."""
    chip = Chip("cpu", "me", {"fp32": 1e11}, 8e9, 1e10, kind="cpu", cores=2)
    monkeypatch.setattr(detect, "fleet", lambda: Fleet((Pool("here", chip, 1, 1),)))
    text = SMALL[: SMALL.index("fleet:")] + "fleet: detect\n" + SMALL[SMALL.index("workloads:") :]
    scenario = parse(text)
    assert scenario.detected
    assert scenario.fleet.pools[0].chip.name == "cpu"


def test_inline_chips() -> None:
    """A chip no catalogue holds may be written in place."""
    link = "scale_up: {chips: 8, bandwidth: 100 GB/s}"
    chip = f"{{name: mine, memory: 64 GB, memory_bandwidth: 1.6 TB/s, flops: {{bf16: 300 TFLOPS}}, {link}}}"
    scenario = parse(SMALL.replace("chip: L20", f"chip: {chip}"))
    mine = scenario.fleet.pool("l20").chip
    assert (mine.name, mine.flops["bf16"], mine.scale_up_chips) == ("mine", 3e14, 8)


WRONG = [
    ("rate: 40/s", "rate: 40 GB", ["workloads[0] (chat).traffic.rate", "40 GB", "3/s"]),
    ("nodes: 8", "nodes: -3", ["fleet.pools[0].nodes", "-3 must be at least 0", "nodes: 16"]),
    ("slo:", "slot:", ["workloads[0] (chat).slot: no such key", "near: slo"]),
    ("chip: L20", "chip: L2O", ["fleet.pools[1] (l20).chip", "L2O", "L20"]),
    ("model: Qwen3-8B", "model: Qwen3-8C", ["workloads[0] (chat).model", "Qwen3-8B"]),
    ("slots: 4", "slots: 5", ["slots", "5"]),
    ("ttft: 2 s", "ttft: -2 s", ["ttft", "more than 0"]),
    ("percentile: 95", "percentile: 100", ["percentile", "less than 100"]),
    ("    tokens: 100B\n", "", ["workloads[1] (next).tokens: is missing", "tokens: 15T"]),
    ("profile: office-day", "profile: office-night", ["profile", "office-day"]),
    ("profile: office-day", "profile: [1, 1]", ["profile", "2 numbers", "4 slots"]),
    ("train: next", "train: chat", ["workloads: 'chat' is there 2 times"]),
    ("name: l20", "name: h800", ["fleet.pools: 'h800' is there 2 times"]),
    ("    deadline: 90 d", "    serve: also\n    deadline: 90 d", ["serve and train", "exactly one"]),
    ("objective: train-progress", "objective: profit", ["objective", "profit", "fewest-chips"]),
    ("p50: 1020, p90: 2735", "p50: 1020, p90: 35", ["lengths.prompt", "rise"]),
    ("format: eke.scenario/1", "format: eke.scenario/2", ["format", "eke.scenario/1"]),
    ("slots: 4", "slots: four", ["slots: 'four' is not 1, 2"]),
    ("nodes: 8", "nodes: many", ["nodes: 'many' is not a whole number", "nodes: 16"]),
    ("nodes: 8", "nodes: yes", ["nodes: true is not a whole number"]),
    ("nodes: 8", "nodes: ~", ["nodes: is empty", "nodes: 16"]),
    ("nodes: 8", "nodes: 8, available: 97", ["97 must be at most 1; as in 97%"]),
    ("chip: L20", "chip: [L20]", ["chip: [L20] is not a chip of the catalogue"]),
    ("chip: L20", "chip: {name: mine, memory: 64 GB, flops: {bf16: 1 TFLOPS}}", ["chip.memory_bandwidth: is missing"]),
    ("profile: office-day", "profile: [1, x, 1, 1]", ["profile[1]: 'x' is not a number"]),
    ("profile: office-day", "slo: 1 s", ["traffic.slo: no such key", "it belongs in a serve workload"]),
    ("p50: 1020", "p50: -5", ["prompt.p50: -5 must be more than 0"]),
    ("{prompt: {p50: 1000}", "{prompt: long", ["'long' is not a table of quantiles or a number of tokens"]),
    ("ttft: 2 s", "ttfp: 2 s", ["slo.ttfp: no such key", "near: ttft"]),
    ("fleet:\n", "fleet: here\n  xx:\n", ["YAML"]),
    ("p50: 1020, p90: 2735, p99: 4142", "p50: 42k, p90: 43k", ["workloads (chat)", "40,960 tokens", "longer context"]),
    ("prompt: {p50: 1000}", "prompt: {p50: 50k}", ["workloads (clean)", "100%"]),
    ("    tokens: 100B\n", "    tokens: 100B\n    tokens: 1T\n", ["'tokens' on line 16", "line 15", "keep one"]),
]


@pytest.mark.parametrize(("old", "new", "said"), WRONG, ids=[w[1].strip()[:24] for w in WRONG])
def test_errors_name_key_value_and_remedy(old: str, new: str, said: list[str]) -> None:
    """What is wrong is told with its key, its value, what was expected, and an example or a near name."""
    assert old in SMALL
    with pytest.raises(InputError) as caught:
        parse(SMALL.replace(old, new, 1))
    for word in said:
        assert word in str(caught.value)
    assert caught.value.exit_code == 64


@pytest.mark.parametrize(("old", "new", "said"), WRONG, ids=[w[1].strip()[:24] for w in WRONG])
def test_one_mistake_is_one_error_without_jargon(old: str, new: str, said: list[str]) -> None:
    """A single mistake is a single error, and none speaks Pydantic."""
    with pytest.raises(InputError) as caught:
        parse(SMALL.replace(old, new, 1))
    told = str(caught.value)
    assert "things are wrong" not in told or old in {"slo:", "train: next"}
    assert not any(word in told for word in ("input should", "valid dictionary", "Section", "parse string", "None"))


def test_all_errors_at_once() -> None:
    """Three mistakes in three places are one message with three lines."""
    text = (
        SMALL.replace("40/s", "40 W")
        .replace("chip: L20", "chip: nothing-like-it")
        .replace("sequence: 4096", "sequence: x")
    )
    with pytest.raises(InputError, match="3 things are wrong") as caught:
        parse(text)
    assert all(word in str(caught.value) for word in ("40 W", "nothing-like-it", "sequence"))


def test_missing_files_are_named(tmp_path: Path) -> None:
    """A scenario that is not there is an input error, not a traceback."""
    with pytest.raises(InputError, match="gone"):
        load(tmp_path / "gone.yaml")


def test_a_trace_stands_for_rate_and_lengths(tmp_path: Path) -> None:
    """`trace:` is read beside the scenario; rate and lengths come from it."""
    rows = "".join(f"{t},{1000 + t},{50}\n" for t in range(200))
    (tmp_path / "t.csv").write_text("arrived_at,num_prefill_tokens,num_decode_tokens\n" + rows)
    old = SMALL[SMALL.index("traffic:") : SMALL.index("    slo:")]
    file = tmp_path / "s.yaml"
    file.write_text(SMALL.replace(old, "traffic: {trace: t.csv}\n"))
    chat = load(file).workloads[0]
    assert isinstance(chat, Serve)
    assert chat.traffic.rate_per_s == pytest.approx(200 / 199)
    assert chat.traffic.output.mean == 50


@pytest.mark.parametrize(("nodes", "spare"), [(0, 0), (1, 0), (2, 0), (24, 0), (100, 2), (1000, 20)])
def test_default_availability_spares_whole_nodes(nodes: int, spare: int) -> None:
    """About two nodes in a hundred are taken to be down; small pools lose none."""
    assert nodes - round(available_by_default(nodes) * nodes) == spare


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(strategies.mangled(SMALL))
def test_any_text_loads_or_is_an_input_error(text: str) -> None:
    """Whatever the text, the answer is a scenario or an InputError: never another exception."""
    try:
        parse(text)
    except InputError:
        return


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("deadline: 90 d", "deadline: 90", "workloads[1].deadline: 90 has no unit and was read as 90 s; say 90 d"),
        ("deadline: 90 d", 'deadline: "180"', "read as 180 s; say 180 d"),
        ("scale_out: 400 Gb/s", "scale_out: 400", "read as 400 bytes/s; say 400 Gb/s"),
        ("ttft: 2 s", "ttft: 2000", "read as 2000 s; say 2000 ms"),
        ("deadline: 90 d", "deadline: 7776000", ""),
        ("ttft: 2 s", "ttft: 2", ""),
    ],
)
def test_bare_numbers_nobody_means_are_noted(old: str, new: str, said: str) -> None:
    """A number without a unit is in the base unit; where that is absurd, the plan says how it was read."""
    notes = parse(SMALL.replace(old, new)).notes
    assert notes == () if not said else said in notes[0]


def test_a_mistake_is_found_by_file_and_line(tmp_path: Path) -> None:
    """One mistake or several: the file and each key's line are told."""
    file = tmp_path / "ours.yaml"
    file.write_text(SMALL.replace("objective:", "objectives:"))
    at = next(i for i, line in enumerate(file.read_text().splitlines(), 1) if line.startswith("objectives"))
    with pytest.raises(InputError, match=rf"ours\.yaml, line {at}: objectives: no such key"):
        load(file)
    file.write_text(file.read_text().replace("ttft: 2 s", "ttft: 2 kg"))
    late = next(i for i, line in enumerate(file.read_text().splitlines(), 1) if "2 kg" in line)
    with pytest.raises(InputError, match=r"2 things are wrong in .*ours\.yaml") as raised:
        load(file)
    assert f"- line {at}: objectives" in raised.value.why
    assert f"- line {late}: workloads[0]" in raised.value.why


def test_a_short_name_of_a_chip_is_told_in_full() -> None:
    """`H20` is taken for one of two chips: a note says which; a full name needs none."""
    said = SMALL.replace("chip: L20", "chip: H20")
    (note,) = parse(said).notes
    assert "H20 was read as H20-96; there is also H20-141" in note
    assert not parse(SMALL).notes


def test_pools_of_no_nodes_are_told() -> None:
    """Where nothing can be planned on, that is the reason; where one pool has nothing, a note."""
    empty = SMALL.replace("nodes: 6", "nodes: 0").replace("nodes: 8", "nodes: 0")
    plan = make(parse(empty))
    assert not plan.feasible
    assert any("no node that can be planned on" in c.reason for c in plan.infeasible_because)
    assert any("0 owned" in n for n in plan.notes)
