"""AIConfigurator 0.12 side by side: one chip kind, one model, no training; thirty requests, its estimator the judge.

    python benchmarks/peers_aiconfigurator.py [--peer PYTHON] [--json OUT] [--fresh]

For each request it runs its default search (`cli default`, vLLM, its measured tables) and two of ours:

    its tables   our search, asked of its estimator: layouts of our planner, batches first far apart, then closer
    our model    our search on our own cost model at the median; what it chose is then priced by its estimator

Compared is its own figure, tokens/s a GPU of the whole stock with TTFT and TPOT kept (by its estimate, to 2%). Seconds
are CPU seconds, the estimator's included. It is installed into an environment of its own unless `--peer` names one; its
searches take minutes, so they are kept there, and asked again with `--fresh`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from eke.fleet import catalogue as chips
from eke.models import catalogue as models
from eke.models.variant import Variant, variants
from eke.plan import capacity, layouts
from eke.plan.distribution import Distribution
from eke.plan.recipes import Site
from eke.plan.scenario import Slo
from peers_venv import python

PACKAGES = ("aiconfigurator==0.12.0", "aiconfigurator-core==0.12.0")
GPUS = 8
SLACK = 1.02  # a latency may pass its limit by this much where another model chose
LOADS = ((1000, 250, 500.0, 25.0), (4000, 500, 2000.0, 50.0), (2000, 1000, 1000.0, 30.0))
"""Prompt and output tokens; TTFT and TPOT in ms."""
PAIRS = (
    ("meta-llama/Meta-Llama-3.1-8B", "h100_sxm"), ("meta-llama/Meta-Llama-3.1-8B", "a100_sxm"),
    ("Qwen/Qwen3-8B", "l40s"), ("Qwen/Qwen3-32B-FP8", "h200_sxm"), ("Qwen/Qwen3-32B", "a100_sxm"),
    ("meta-llama/Meta-Llama-3.1-70B", "h200_sxm"), ("meta-llama/Meta-Llama-3.1-70B", "b200_sxm"),
    ("Qwen/Qwen3-32B-FP8", "h100_sxm"), ("Qwen/Qwen3-30B-A3B", "h100_sxm"), ("openai/gpt-oss-120b", "h200_sxm"),
)  # fmt: skip
"""Its names of a model and a system."""
OURS = {
    "meta-llama/Meta-Llama-3.1-8B": ("Llama-3.1-8B", "bf16"),
    "meta-llama/Meta-Llama-3.1-70B": ("Llama-3.1-70B", "bf16"),
    "Qwen/Qwen3-8B": ("Qwen3-8B", "bf16"), "Qwen/Qwen3-32B": ("Qwen3-32B", "bf16"),
    "Qwen/Qwen3-32B-FP8": ("Qwen3-32B", "fp8"), "Qwen/Qwen3-30B-A3B": ("Qwen3-30B-A3B", "bf16"),
    "openai/gpt-oss-120b": ("gpt-oss-120b", "fp4"),
}  # fmt: skip
CHIPS = {
    "h100_sxm": "H100-SXM",
    "h200_sxm": "H200-SXM",
    "a100_sxm": "A100-SXM-80",
    "l40s": "L40S",
    "b200_sxm": "B200-SXM",
}
BATCHES = (1, 2, 4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)
FINER = 12
KEPT = 4  # layouts looked at closer
CHUNKS = (1, 2, 4)  # prompts that one iteration may read
READ_TOGETHER = (1, 2, 4)
TTFT_APART, READS, WRITES = 1.8, 0.9, 0.92  # its factors on TTFT and on the two rates, prefill and decode apart

Point = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Case:
    """One request, in its words."""

    model: str
    system: str
    gpus: int
    prompt: int
    output: int
    ttft_ms: float
    tpot_ms: float


CASES = tuple(Case(m, s, GPUS, *load) for m, s in PAIRS for load in LOADS)


class Peer:
    """Its process, asked over a pipe; `cpu_s` is what it has used so far, starting up excluded."""

    def __init__(self, interpreter: Path) -> None:
        worker = Path(__file__).with_name("peers_aiconfigurator_worker.py")
        self._process = subprocess.Popen(
            [interpreter, worker], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self.cpu_s = 0.0

    def ask(self, what: str, case: Case, **more: Any) -> Any:
        """Its answer; None where it has none."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"ask": what, "case": asdict(case), **more}) + "\n")
        self._process.stdin.flush()
        told = json.loads(self._process.stdout.readline())
        self.cpu_s += told["cpu_s"]
        return told.get("answer")

    def close(self) -> None:
        """End it."""
        self._process.communicate()


def searched(peer: Peer, case: Case, kept: Path, *, fresh: bool) -> dict[str, Any]:
    """Its own search, with the CPU seconds it took; as kept from an earlier run where there is one."""
    known = {json.dumps(e["case"]): e for e in map(json.loads, kept.read_text().splitlines())} if kept.exists() else {}
    key = json.dumps(asdict(case))
    if fresh or key not in known:
        before = peer.cpu_s
        answer = peer.ask("search", case)
        known[key] = {"case": asdict(case), "answer": answer, "cpu_s": peer.cpu_s - before}
        kept.write_text("".join(json.dumps(e) + "\n" for e in known.values()))
    return known[key]


def site(case: Case) -> Site:
    """Where our planner places it."""
    return Site(chips.chip(CHIPS[case.system]), case.gpus, None, case.gpus)


def our_layouts(case: Case) -> list[Point]:
    """Our planner's layouts of one replica, without pipelines, which its default search leaves out too."""
    table = layouts.serving(models.architecture(OURS[case.model][0]), site(case))
    rows = zip(table.tp.tolist(), table.pp.tolist(), table.dp.tolist(), table.ep.tolist(), strict=True)
    return [{"tp": tp, "pp": pp, "dp": dp, "ep": ep} for tp, pp, dp, ep in rows if pp == 1]


def width(p: Point) -> int:
    """GPUs of one worker."""
    return int(p["tp"] * p["pp"] * p["dp"])


def worth(case: Case, p: Point, told: Point, slack: float = 1.0) -> float:
    """Tokens/s a GPU of the whole stock; 0 where it does not fit or is late."""
    if "fault" in told or not told["fits"]:
        return 0.0
    if told["ttft_ms"] > case.ttft_ms * slack or told["tpot_ms"] > case.tpot_ms * slack:
        return 0.0
    return float(told["tokens"]) * (case.gpus // width(p)) * width(p) / case.gpus


def _together(peer: Peer, case: Case) -> tuple[float, Point | None]:
    """Our search, asked of its estimator: engines that read and write."""
    found: dict[str, tuple[float, Point]] = {}
    asked: set[str] = set()

    def price(points: list[Point]) -> None:
        new = [p for p in points if json.dumps(p) not in asked]
        asked.update(json.dumps(p) for p in new)
        for p, told in zip(new, peer.ask("price", case, points=new), strict=True):
            name = json.dumps({k: p[k] for k in ("tp", "pp", "dp", "ep")})
            found[name] = max(found.get(name, (0.0, p)), (worth(case, p, told), p), key=lambda f: f[0])

    price([p | {"batch": b, "chunk": case.prompt} for p in our_layouts(case) for b in BATCHES])
    for closer, layouts_kept, chunks in ((True, KEPT, (1,)), (False, 1, CHUNKS)):
        best = [f for f in sorted(found.values(), key=lambda f: -f[0])[:layouts_kept] if f[0]]
        wanted = [(p, b, n) for _, p in best for b in _around(p["batch"], closer=closer) for n in chunks]
        price([p | {"batch": b, "chunk": case.prompt * n} for p, b, n in wanted])
    return max(found.values(), key=lambda f: f[0], default=(0.0, None))


def _around(batch: int, *, closer: bool) -> list[int]:
    """Batches on to the next but one that was tried, since measured tables go up and down; with `closer` a dozen or two
    of them, as kernels like them in eights, else the next few.
    """
    if not closer:
        return [batch + i for i in range(1, FINER)]
    later = ([b for b in BATCHES if b > batch] or [batch])[:2][-1]
    step = max(1, batch // 8) if batch < 64 else 8 * max(1, batch // 96)
    return list(range(batch, later + 1, step))


def _apart(peer: Peer, case: Case) -> tuple[float, Point | None]:
    """Workers that read and workers that write, as many of each as the stock holds."""
    reading = [p | {"role": "prefill", "batch": b} for p in our_layouts(case) if p["dp"] == 1 for b in READ_TOGETHER]
    writing = [p | {"role": "decode", "batch": b} for p in our_layouts(case) for b in BATCHES[::2]]
    readers = _parts(peer, case, reading)
    writers = _parts(peer, case, writing)
    of_layout: dict[str, tuple[float, Point]] = {}
    for w in sorted(writers, key=lambda w: w[0]):
        of_layout[json.dumps([w[1][k] for k in ("tp", "dp", "ep")])] = w
    best = sorted(of_layout.values(), key=lambda w: -w[0] / width(w[1]))[:KEPT]
    writers += _parts(peer, case, [p | {"batch": b} for _, p in best for b in _around(p["batch"], closer=True)])
    chosen, rate = None, 0.0
    for read_rate, r in readers:
        for write_rate, w in writers:
            for n in range(1, (case.gpus - width(w)) // width(r) + 1):
                m = (case.gpus - n * width(r)) // width(w)
                both = min(read_rate * n * READS, write_rate * m * WRITES)
                if both > rate * (1 + 1e-9):
                    rate, chosen = both, {"prefill": r | {"workers": n}, "decode": w | {"workers": m}}
    if chosen is None:
        return 0.0, None
    return rate * case.output / case.gpus, chosen


def priced_apart(peer: Peer, case: Case, chosen: Point) -> float:
    """Its own figure for workers set apart; 0 where it says they are late."""
    told = peer.ask("apart", case, **chosen)
    if told is None or told["ttft_ms"] > case.ttft_ms or told["tpot_ms"] > case.tpot_ms:
        return 0.0
    return float(told["tokens"]) / case.gpus


def _parts(peer: Peer, case: Case, points: list[Point]) -> list[tuple[float, Point]]:
    """Requests/s of those that keep their part of the promise, the best batch of each layout first."""
    kept = []
    for p, told in zip(points, peer.ask("parts", case, points=points), strict=True):
        late = "fault" not in told and (
            told["ttft_ms"] * TTFT_APART > case.ttft_ms if p["role"] == "prefill" else told["tpot_ms"] > case.tpot_ms
        )
        if "fault" not in told and told["fits"] and not late:
            kept.append((told["rate"], p))
    return kept


def on_our_model(case: Case) -> Point | None:
    """What our search chooses on our own cost model, promised in the median as it promises."""
    name, precision = OURS[case.model]
    architecture, here = models.architecture(name), site(case)
    table = layouts.serving(architecture, here)
    table = layouts.take(table, np.flatnonzero(table.pp == 1))
    variant: Variant = variants(architecture)[precision]
    slo = Slo(case.ttft_ms / 1e3, case.tpot_ms / 1e3, 50.0)
    load = capacity.load(Distribution((float(case.prompt),)), Distribution((float(case.output),)), 0.0, slo)
    asked = capacity.Asked(here.cost(architecture, variant, training=False), table, [load])
    ((got,),) = capacity.capacities([asked])
    best = int(np.argmax(np.where(got.holds, got.rate * (case.gpus // table.chips), 0.0)))
    if not got.holds[best]:
        return None
    tp, dp, ep = int(table.tp[best]), int(table.dp[best]), int(table.ep[best])
    batch = max(1, round(float(got.in_flight[best]) / dp))
    return {"tp": tp, "pp": 1, "dp": dp, "ep": ep, "batch": batch, "chunk": case.prompt}


def compare(peer: Peer, case: Case, kept: Path, *, fresh: bool) -> dict[str, Any]:
    """One request, three answers."""
    theirs = searched(peer, case, kept, fresh=fresh)
    answer = theirs["answer"] or {}
    best = max((answer[k]["tokens/s/gpu_cluster"] for k in ("agg", "disagg") if k in answer), default=0.0)
    peer.ask(
        "price", case, points=[{"tp": 1, "pp": 1, "dp": 1, "ep": 1, "batch": 1, "chunk": case.prompt}]
    )  # its tables
    before, began = peer.cpu_s, time.process_time()
    together = _together(peer, case)
    tokens, chosen = max(together, _apart(peer, case), key=lambda found: found[0])
    tables_s = peer.cpu_s - before + time.process_time() - began
    if chosen and "prefill" in chosen:
        tokens = max(priced_apart(peer, case, chosen), together[0])
    began = time.process_time()
    ours = on_our_model(case)
    model_s = time.process_time() - began
    told = peer.ask("price", case, points=[ours])[0] if ours else {"fault": "none holds"}
    return {
        "case": asdict(case), "theirs": {"kind": answer.get("chosen"), "tokens": best, "cpu_s": theirs["cpu_s"]},
        "its_tables": {"tokens": tokens, "chosen": chosen, "cpu_s": tables_s},
        "our_model": {
            "tokens": worth(case, ours, told, SLACK) if ours else 0.0, "chosen": ours, "told": told, "cpu_s": model_s
        },
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--peer", type=Path, help="interpreter of an environment that holds it")
    parser.add_argument("--kept", type=Path, default=Path(tempfile.gettempdir()) / "eke-peers-aiconfigurator.jsonl")
    parser.add_argument("--only-kept", action="store_true", help="only requests whose search is kept")
    parser.add_argument("--fresh", action="store_true")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    peer = Peer(asked.peer or python("aiconfigurator", PACKAGES))
    rows = []
    kept = [json.loads(line)["case"] for line in asked.kept.read_text().splitlines()] if asked.only_kept else []
    print(f"{'tokens/s a GPU, by its estimator':44}{'its choice':>18}{'our search':>11}{'our model':>11}{'CPU s':>14}")
    for case in CASES:
        if asked.only_kept and asdict(case) not in kept:
            continue
        row = compare(peer, case, asked.kept, fresh=asked.fresh)
        rows.append(row)
        theirs, ours, model = row["theirs"], row["its_tables"], row["our_model"]
        told = f"{case.model.split('/')[-1][:18]:19}{case.system:9}{case.prompt:5}+{case.output:<5}"
        print(
            f"{told:44}{theirs['kind'] or 'none':>8}{theirs['tokens']:10,.0f}{ours['tokens']:11,.0f}"
            f"{model['tokens']:11,.0f}{theirs['cpu_s']:8.1f}{ours['cpu_s']:6.2f}", flush=True,
        )  # fmt: skip
    peer.close()
    summary(rows)
    if asked.json:
        asked.json.write_text(json.dumps({"peer": PACKAGES, "rows": rows}, indent=2) + "\n", encoding="utf-8")


def summary(rows: list[dict[str, Any]]) -> None:
    """How often as good or better, and how much faster."""
    if not rows:
        sys.exit("no request compared")
    for name, told in (("its_tables", "our search on its tables"), ("our_model", "our search on our model")):
        good = sum(r[name]["tokens"] >= 0.999 * r["theirs"]["tokens"] for r in rows)
        ratio = [r[name]["tokens"] / r["theirs"]["tokens"] for r in rows if r["theirs"]["tokens"]]
        faster = [r["theirs"]["cpu_s"] / r[name]["cpu_s"] for r in rows]
        print(
            f"{told}: as good or better in {good} of {len(rows)} ({good / len(rows):.0%}); tokens/s a GPU "
            f"{median(ratio):.3f} x in the median, {min(ratio):.3f} at worst; {median(faster):,.0f} x faster "
            f"({min(faster):,.0f} at least)"
        )


if __name__ == "__main__":
    main()
