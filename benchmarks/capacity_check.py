"""Whether replicas keep their promise at the rate `eke.plan.capacity` gives them, by simulation.

    python benchmarks/capacity_check.py [--requests N] [--seed N] [--only WORD] [--json OUT]

Each row is one layout under one workload: the simulation of `tests/plan/simulated.py` (iteration by iteration, Poisson
arrivals) at the rate said, and at 1.4 times it. Figures are TTFT and TPOT at the promised percentile over the promised
ones: at the rate said both should be at most 1 (`HOLDS` is taken as kept), at 1.4 times one should be above.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.plan import simulated

from eke.fleet import catalogue as chips
from eke.fleet.pool import Pool
from eke.models import catalogue as models
from eke.models.variant import variants
from eke.plan import apart, capacity, layouts
from eke.plan.distribution import Distribution, from_quantiles
from eke.plan.recipes import sites
from eke.plan.scenario import Slo

HOLDS = 1.15
MORE = 1.4

CHAT = ({0.5: 1020, 0.9: 2735, 0.99: 4142}, {0.5: 129, 0.9: 424, 0.99: 601})
CODE = ({0.5: 1500, 0.9: 3500, 0.99: 7000}, {0.5: 13, 0.9: 40, 0.99: 120})
MEETING = ({0.5: 12000, 0.9: 24000, 0.99: 30000}, {0.5: 400, 0.9: 900, 0.99: 1500})
THINKING = ({0.5: 300, 0.9: 900, 0.99: 2500}, {0.5: 1500, 0.9: 5000, 0.99: 9000})
SHORT = ({0.5: 60, 0.9: 150, 0.99: 400}, {0.5: 20, 0.9: 60, 0.99: 120})


@dataclass(frozen=True, slots=True)
class Case:
    """One layout under one workload; `part` as in a recipe."""

    name: str
    model: str
    variant: str
    chip: str
    layout: tuple[int, int, int, int]  # tp, pp, ep, dp
    lengths: tuple[dict[float, float], dict[float, float]]
    slo: Slo
    hit: float = 0.0
    part: str = ""

    @property
    def prompt(self) -> Distribution:
        """Tokens to read."""
        return from_quantiles(self.lengths[0])

    @property
    def output(self) -> Distribution:
        """Tokens to write."""
        return from_quantiles(self.lengths[1])


CASES = (
    Case("chat", "Qwen3-8B", "bf16", "H800-SXM", (1, 1, 1, 1), CHAT, Slo(1.0, 0.05, 95)),
    Case("chat, tight TTFT", "Qwen3-8B", "bf16", "H800-SXM", (1, 1, 1, 1), CHAT, Slo(0.3, 0.05, 95)),
    Case("chat, tight TPOT", "Qwen3-8B", "bf16", "H800-SXM", (1, 1, 1, 1), CHAT, Slo(2.0, 0.015, 95)),
    Case("chat, p99", "Qwen3-8B", "bf16", "H800-SXM", (1, 1, 1, 1), CHAT, Slo(1.0, 0.04, 99)),
    Case("chat, loose", "Qwen3-8B", "bf16", "H800-SXM", (1, 1, 1, 1), CHAT, Slo(10.0, 0.3, 95)),
    Case("chat, hits 60%", "Qwen3-8B", "bf16", "H800-SXM", (1, 1, 1, 1), CHAT, Slo(1.0, 0.05, 95), 0.6),
    Case("chat on L20, tp 2", "Qwen3-8B", "bf16", "L20", (2, 1, 1, 1), CHAT, Slo(2.0, 0.08, 95)),
    Case("chat 32B, tp 4", "Qwen3-32B", "bf16", "H800-SXM", (4, 1, 1, 1), CHAT, Slo(1.0, 0.04, 95)),
    Case("chat 32B, tp 2 pp 2", "Qwen3-32B", "bf16", "H800-SXM", (2, 2, 1, 1), CHAT, Slo(2.0, 0.08, 95)),
    Case("code completion", "Qwen3-8B", "bf16", "H800-SXM", (1, 1, 1, 1), CODE, Slo(0.5, 0.05, 95)),
    Case("code, loose", "Qwen3-8B", "bf16", "H20-96", (1, 1, 1, 1), CODE, Slo(2.0, 0.1, 90)),
    Case("code, hits 80%", "Qwen3-32B", "fp8", "H800-SXM", (2, 1, 1, 1), CODE, Slo(0.5, 0.03, 95), 0.8),
    Case("meetings", "Qwen3-32B", "bf16", "H800-SXM", (4, 1, 1, 1), MEETING, Slo(15.0, 0.06, 95)),
    Case("meetings, tight", "Qwen3-32B", "fp8", "H20-96", (8, 1, 1, 1), MEETING, Slo(10.0, 0.05, 90)),
    Case("thinking", "Qwen3-8B", "bf16", "H800-SXM", (1, 1, 1, 1), THINKING, Slo(1.0, 0.025, 95)),
    Case("thinking, L20", "Qwen3-8B", "int8", "L20", (1, 1, 1, 1), THINKING, Slo(2.0, 0.06, 95)),
    Case("short", "Qwen3-8B", "bf16", "L20", (1, 1, 1, 1), SHORT, Slo(0.3, 0.05, 99)),
    Case("MoE chat", "Qwen3-30B-A3B", "bf16", "H800-SXM", (2, 1, 1, 1), CHAT, Slo(1.0, 0.04, 95)),
    Case("MoE chat, dp 4 ep 4", "Qwen3-30B-A3B", "bf16", "H800-SXM", (1, 1, 4, 4), CHAT, Slo(1.0, 0.04, 95)),
    Case("MoE thinking, tp 4", "Qwen3-235B-A22B", "fp8", "H20-96", (4, 1, 1, 1), THINKING, Slo(2.0, 0.05, 95)),
    Case("MoE chat, tp 8", "Qwen3-235B-A22B", "fp8", "H20-96", (8, 1, 8, 1), CHAT, Slo(2.0, 0.05, 95)),
    Case("DeepSeek, dp 16 ep 16", "DeepSeek-V3", "fp8", "H800-SXM", (1, 1, 16, 16), CHAT, Slo(2.0, 0.08, 95)),
    Case("readers", "Qwen3-32B", "fp8", "H800-SXM", (2, 1, 1, 1), CHAT, Slo(1.0, 0.04, 95), part="prefill"),
    Case("readers, long", "Qwen3-32B", "fp8", "H800-SXM", (4, 1, 1, 1), MEETING, Slo(6.0, 0.04, 95), part="prefill"),
    Case("writers", "Qwen3-32B", "fp8", "H20-96", (2, 1, 1, 1), CHAT, Slo(1.0, 0.04, 95), part="decode"),
    Case("writers, MoE dp 4", "Qwen3-30B-A3B", "bf16", "H20-96", (1, 1, 4, 4), CHAT, Slo(1.0, 0.03, 95), part="decode"),
    Case("writers, thinking", "Qwen3-8B", "bf16", "H20-96", (1, 1, 1, 1), THINKING, Slo(1.0, 0.03, 95), part="decode"),
)  # fmt: skip
LINK = 50e9
"""Bytes/s a chip of the link between readers and writers."""


@dataclass(frozen=True, slots=True)
class Row:
    """What is said of a case and what is seen; figures over the promised ones."""

    name: str
    rate: float
    in_flight: float
    chunk: float
    said_ttft: float
    said_tpot: float
    ttft: float
    tpot: float
    more_ttft: float
    more_tpot: float
    seconds: float

    @property
    def kept(self) -> bool:
        """Whether the promise holds at the rate said."""
        return max(self.ttft, self.tpot) <= HOLDS

    @property
    def near(self) -> bool:
        """Whether it breaks at 1.4 times that rate."""
        return max(self.more_ttft, self.more_tpot) > 1


def checked(case: Case, requests: int = 3000, seed: int = 7) -> Row:
    """The capacity of a case beside its simulation.

    Raises:
        ValueError: no rate keeps the promise; such a case says nothing.
    """
    pool = Pool("p", chips.chip(case.chip), 16, scale_out=50e9)
    ((site, _),) = sites([pool])
    architecture = models.architecture(case.model)
    cost = site.cost(architecture, variants(architecture)[case.variant], training=False)
    one = layouts.table([case.layout])
    of = capacity.load(case.prompt, case.output, case.hit, case.slo)
    lanes = case.layout[1] * case.layout[3]
    handing = 0.0
    if case.part:
        rows = capacity.rows([capacity.Asked(cost, one, [of])])
        handing = float(apart._cache_bytes(cost, [of.read.mean])[0] / of.read.mean / LINK)
    if case.part == "prefill":
        tau = rows.lanes * rows.seconds(apart.CHUNK, np.zeros((1, 1)))[:, 0] / apart.CHUNK
        rate, b, chunk = float(apart._read(rows, tau, np.array([handing]))[0]), float(lanes), apart.CHUNK
        said, most = (case.slo.ttft_s, 0.0), 64 * lanes
    elif case.part:
        write, held, tpot = apart._write(rows)
        rate, b, chunk = float(write[0]), float(held[0]), 512.0
        said, most = (0.0, float(tpot[0])), int(held[0])
    else:
        got = capacity.capacity(cost, one, of)
        if not got.holds[0]:
            raise ValueError(f"{case.name}: no rate keeps the promise")
        rate, b, chunk = float(got.rate[0]), float(got.in_flight[0]), float(got.chunk[0])
        said, most = (float(got.ttft_s[0]), float(got.tpot_s[0])), int(capacity.places(np.float64(b), np.float64(of.z)))
    if not rate:
        raise ValueError(f"{case.name}: no rate keeps the promise")
    room = float(cost.max_sequences(one, of.context)[0]) * of.context
    began = time.process_time()
    times = simulated.Iterations(cost, one, chunk, -(-most // lanes) * lanes, of.context)
    run = partial(
        simulated.replica, times, lanes, prompt=case.prompt, output=case.output, hit=case.hit, chunk=chunk, most=most,
        room=room, percentile=case.slo.percentile, slo=(case.slo.ttft_s, case.slo.tpot_s), requests=requests, seed=seed,
        part=case.part, handing=handing,
    )  # fmt: skip
    seen = [run(rate=rate * factor)[0] for factor in (1.0, MORE)]
    ratios = [
        x
        for s in seen
        for x in (0.0 if case.part == "decode" else s.ttft_s / case.slo.ttft_s, s.tpot_s / case.slo.tpot_s)
    ]
    return Row(
        case.name, rate, b, chunk, said[0] / case.slo.ttft_s, said[1] / case.slo.tpot_s, *ratios,
        time.process_time() - began,
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--only", default="")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    print(f"{'':24}{'requests/s':>10} {'held':>6} {'chunk':>6}   {'said':^11}   {'seen':^11}   {'at 1.4×':^11}")
    print(
        f"{'':24}{'':>10} {'':>6} {'':>6}   {'TTFT':>5} {'TPOT':>5}   {'TTFT':>5} {'TPOT':>5}   {'TTFT':>5} {'TPOT':>5}"
    )
    rows = []
    for case in (c for c in CASES if asked.only in c.name):
        try:
            r = checked(case, asked.requests, asked.seed)
        except ValueError as why:
            print(why)
            continue
        rows.append(r)
        mark = "" if r.kept and r.near else "  late" if not r.kept else "  cautious"
        print(
            f"{r.name:24}{r.rate:10.2f} {r.in_flight:6.1f} {r.chunk:6.0f}   {r.said_ttft:5.2f} {r.said_tpot:5.2f}   "
            f"{r.ttft:5.2f} {r.tpot:5.2f}   {min(r.more_ttft, 999):5.2f} {min(r.more_tpot, 999):5.2f}{mark}",
            flush=True,
        )
    kept, near = sum(r.kept for r in rows), sum(r.near for r in rows)
    print(f"{kept} of {len(rows)} keep their promise within {HOLDS}; {near} break it at {MORE} times the rate")
    if asked.json:
        asked.json.write_text(json.dumps([asdict(r) | {"kept": r.kept, "near": r.near} for r in rows], indent=1) + "\n")


if __name__ == "__main__":
    main()
