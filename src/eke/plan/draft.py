"""A scenario's first draft, as text with comments: what is known filled in, what is guessed said to be a guess."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import yaml

from eke.errors import UnknownName
from eke.fleet.pool import Fleet
from eke.fleet.section import section
from eke.models import catalogue
from eke.plan.metrics import Served

CHANGE = "change me"
LENGTHS = ({"p50": 1020.0, "p90": 2735.0, "p99": 4142.0}, {"p50": 129.0, "p90": 424.0, "p99": 601.0})
"""Prompt and output tokens where nobody says: Azure's conversations of November 2023
(AzurePublicDataset, CC-BY-4.0)."""
MODEL = "Qwen3-8B"
OWNED = f"""\
fleet:                           # what you own: like nodes on one network are a pool
  pools:                         # chips: `eke fleet chips`; from a list: `eke init --nodes nodes.csv`
    - {{name: h20, chip: H20-96, nodes: 4, chips_per_node: 8}}  # {CHANGE}
    # - {{name: ascend, chip: Ascend-910B2, nodes: 8, chips_per_node: 8}}
# fleet: detect                  # instead: this machine, as it is
"""
"""What is owned where nobody says and the machine at hand has no accelerator."""


@dataclass(frozen=True, slots=True)
class Serving:
    """An application to serve. `notes`: remarks by key, `CHANGE` where the value is only an example."""

    name: str
    model: str
    rate_per_s: float
    prompt: Mapping[str, float]
    output: Mapping[str, float]
    ttft: str = "2 s"
    tpot: str = "60 ms"
    prefix_hit: float = 0.0
    notes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Training:
    """A model to train."""

    name: str
    model: str
    tokens: str
    deadline: str | None = None


def example() -> Serving:
    """An application where nothing is known: everything is to be changed."""
    return Serving(
        "chat", MODEL, 10.0, *LENGTHS,
        notes={"model": CHANGE, "rate": f"{CHANGE}: requests per second at the busiest", "lengths": f"{CHANGE}: tokens",
               "slo": f"{CHANGE}: what you promise"},
    )  # fmt: skip


def observed(served: Served) -> Serving:
    """An application as a server's metrics tell of it."""
    notes = {"lengths": f"measured over {served.requests:,.0f} requests", "slo": CHANGE}
    model = served.model
    try:
        catalogue.architecture(model)
    except UnknownName:
        model = MODEL
        notes["model"] = f"{CHANGE}: the server says {served.model}, which the catalogue lacks; a config.json will do"
    if served.ttft_s is not None and served.tpot_s is not None:
        notes["slo"] = f"{CHANGE}; 95% were within {served.ttft_s * 1e3:,.0f} ms and {served.tpot_s * 1e3:,.0f} ms"
    notes["rate"] = (
        f"{CHANGE}: the metrics do not say since when they count"
        if served.rate_per_s is None
        else "mean since the server started; put the busiest hour here"
    )
    name = served.model.rstrip("/").rsplit("/", 1)[-1].lower().lstrip(".")
    prompt, output = served.prompt or LENGTHS[0], served.output or LENGTHS[1]
    return Serving(
        name, model, served.rate_per_s or 10.0, prompt, output, prefix_hit=min(served.prefix_hit or 0.0, 0.99),
        notes=notes,
    )  # fmt: skip


def text(name: str, fleet: Fleet | None, serving: Sequence[Serving], training: Sequence[Training] = ()) -> str:
    """The scenario, commented; `fleet` None: nobody knows what is owned."""
    owned = None if fleet is None else section(fleet)
    pools = "fleet: detect                    # this machine; or {pools: [{name: h20, chip: H20-96, nodes: 4}]}\n"
    if owned is None:
        pools = OWNED
    elif not isinstance(owned, str):
        lines = [f"    - {_flow(p)}" for p in owned["pools"]]
        pools = "\n".join(("fleet:                           # what you own: like nodes on one network are a pool",
                           "  pools:", *lines, "  # links: between pools, where prompts or gradients cross",
                           "  #   - {between: [a, b], bandwidth: 200 Gb/s}", ""))  # fmt: skip
    parts = [
        "# What you own and what you owe. `eke plan` reads it; every key: `eke init --schema`.",
        "format: eke.scenario/1",
        f"name: {name}",
        pools.rstrip("\n"),
        "workloads:                       # what you owe: serve, train, batch",
        *(_serving(s) for s in serving),
        *(_training(t) for t in training),
        "objective: train-progress        # or fewest-chips, least-energy, value (give workloads a `value`)"
        if training
        else "objective: fewest-chips          # or train-progress, least-energy, value (give workloads a `value`)",
        "slots: 4                         # parts of a day the plan may differ in: 1, 4, 8, 24",
    ]
    return "\n".join(parts) + "\n"


def _serving(s: Serving) -> str:
    note = {key: f"  # {words}" for key, words in s.notes.items()}
    hit = f"\n      prefix_hit: {s.prefix_hit:.0%}" if round(s.prefix_hit, 2) > 0 else ""
    return f"""  - serve: {s.name}
    model: {s.model}{note.get("model", "")}
    traffic:
      rate: {s.rate_per_s:.3g}/s{note.get("rate", "")}
      profile: office-day            # or flat, evening-peak, or one number a slot
      lengths:{note.get("lengths", "")}
        prompt: {_quantiles(s.prompt)}
        output: {_quantiles(s.output)}{hit}
    slo: {{ttft: {s.ttft}, tpot: {s.tpot}, percentile: 95}}{note.get("slo", "")}
    # survives: 1 node               # the promise holds whichever node goes down"""


def _training(t: Training) -> str:
    deadline = f"\n    deadline: {t.deadline}" if t.deadline else ""
    return f"""  - train: {t.name}
    model: {t.model}
    tokens: {t.tokens}
    sequence: 4096
    global_batch: 4M                 # tokens of a step{deadline}"""


def _quantiles(of: Mapping[str, float]) -> str:
    return _flow({name: int(v) for name, v in of.items()})


def _flow(of: object) -> str:
    return yaml.safe_dump(of, sort_keys=False, default_flow_style=True, width=10_000).strip()
