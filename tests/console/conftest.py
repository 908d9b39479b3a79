# ruff: noqa: E501
"""A run to look at: a plan for five pools over a day, tasks that live, a day of requests, a loss that falls."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import Any

import pytest

from eke.runtime import proc
from eke.runtime.base import Task
from eke.runtime.ledger import Ledger, Request
from eke.runtime.state import Process, State

POOLS = (
    ("h800", "H800-SXM", 2048),
    ("a800", "A800-SXM", 1024),
    ("h20", "H20-96", 1536),
    ("l20", "L20", 512),
    ("ascend", "Ascend-910B2", 768),
)
# workload, kind, role, model, variant, (pool, chips a replica, chips at the peak, chips at night)…, recipe
WORK = (
    ("meeting-summaries", "serve", "Hunyuan-A13B-Instruct", "fp8", (("h20", 4, 480, 96),), {"engine": "vllm", "tp": 4, "max_batch": 48, "chunked_prefill": 4096}),
    ("code-guidance", "serve", "Hunyuan-7B-Instruct", "fp8", (("l20", 1, 420, 60), ("h20", 1, 64, 0)), {"engine": "vllm", "tp": 1, "max_batch": 64}),
    ("customer-answers", "serve", "Hunyuan-A13B-Instruct", "fp8", (("h20", 2, 620, 210), ("ascend", 4, 160, 40)), {"engine": "vllm", "tp": 2, "max_batch": 96}),
    ("ad-copy", "serve", "Hunyuan-7B-Instruct", "int8", (("ascend", 1, 300, 300),), {"engine": "mindie", "tp": 1, "max_batch": 128}),
    ("hunyuan-next", "train", "Hunyuan-Large", "bf16", (("h800", 2048, 2048, 2048),), {"tp": 8, "pp": 4, "dp": 64, "micro_batch": 1, "recompute": "selective"}),
    ("clean-corpus", "batch", "Hunyuan-7B-Instruct", "fp8", (("a800", 1, 240, 900), ("h20", 1, 0, 700)), {"engine": "vllm", "tp": 1, "max_batch": 256}),
)  # fmt: skip


def chips_at(peak: int, night: int, slot: int, step: int) -> int:
    """Chips in an hour, in whole replicas: least at four, most at fourteen."""
    lift = 0.5 - 0.5 * math.cos(2 * math.pi * (slot - 4) / 24)
    return int((night + (peak - night) * lift**1.3) / step) * step


def plan(*, feasible: bool = True) -> dict[str, Any]:
    """A plan file of two generations, as `eke plan` would write it; the numbers are invented, the shape is not."""
    placements, used = [], {name: [0.0] * 24 for name, *_ in POOLS}
    for name, kind, model, variant, places, recipe in WORK:
        for pool, each, peak, night in places:
            for slot in range(24):
                chips = chips_at(peak, night, slot, each)
                if not chips:
                    continue
                used[pool][slot] += chips
                rate = (
                    {"tokens_per_s": chips * 1200.0}
                    if kind != "serve"
                    else {"requests_per_s": chips * 0.9, "ttft_s": 0.41, "tpot_s": 0.031}
                )
                placements.append({
                    "workload": name, "kind": kind, "role": "mixed" if kind == "serve" else kind, "pool": pool, "slot": slot,
                    "replicas": chips // each, "chips_per_replica": each, "chips": chips, "model": model, "variant": variant,
                    "recipe": recipe, "capacity": rate, "share": 1 / len(places), "basis": "measured" if pool == "h20" else "modelled",
                })  # fmt: skip
    return {
        "format": "eke.plan/1", "scenario": "two-generations", "fleet_digest": "5f0c1d2e3a4b5c6d", "feasible": feasible,
        "objective": {"name": "train-progress", "unit": "times the tokens asked for", "value": 1.231, "bound": 1.236, "gap": 0.0041},
        "seconds": {"recipes": 0.8, "solve": 1.1, "total": 2.2},
        "pools": [{"name": n, "chip": c, "chips": k, "used_chips": used[n], "price": 0.00042 if n == "h800" else 0.0, "price_unit": "objective per chip"} for n, c, k in POOLS],
        "placements": placements,
        "workloads": [_kept(name, kind) for name, kind, *_ in WORK],
        "infeasible_because": [] if feasible else [{"demands": ["ad-copy", "code-guidance"], "pools": ["l20"], "reason": "together they need 61 L20 more than there are", "repairs": ["8 more nodes of l20", "ad-copy: TTFT 2.6 s"]}],
        "notes": ["A800 gives its nights to clean-corpus: its 200 Gb/s network would halve the training gang's speed."],
    }  # fmt: skip


def _kept(name: str, kind: str) -> dict[str, Any]:
    common: dict[str, Any] = {
        "name": name,
        "kind": kind,
        "met": True,
        "price_per_million_tokens": 0.4,
        "price_unit": "objective",
    }
    demand = [chips_at(300, 40, s, 1) for s in range(24)]
    own = {
        "serve": {"demand_rps": demand, "served_rps": demand},
        "train": {"tokens_per_s": 2.1e6, "days": 151.2, "mfu": 0.38},
        "batch": {"tokens_per_day": 6e10},
    }
    return common | own[kind]


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    """The folder of a run that has nothing in it."""
    folder = tmp_path / "two-generations"
    folder.mkdir()
    return folder


@pytest.fixture
def history(empty: Path) -> Path:
    """The folder of a run that has a plan and a past, and nothing running."""
    (empty / "plan.json").write_text(json.dumps(plan()))
    fill_ledger(empty)
    fill_training(empty / "train" / "hunyuan-next")
    (empty / "logs").mkdir()
    (empty / "logs" / "customer-answers-0.log").write_text("model loaded\nlistening on <port>\n")
    return empty


@pytest.fixture
def full(history: Path) -> Path:
    """The same with tasks in every state. The living ones are this very test: only for looking at."""
    fill_board(history)
    return history


def fill_board(folder: Path) -> None:
    """Tasks in every state; the living ones are this test."""
    labels = {"workload": "customer-answers", "model": "Hunyuan-A13B-Instruct", "engine": "vllm", "slots": "8"}
    tasks = [
        Task("gateway", "service", ("true",), port=8400),
        Task("customer-answers-0", "engine", ("true",), cpus=(0,), labels=labels),
        Task("customer-answers-1", "engine", ("true",), cpus=(1,), labels=labels),
        Task(
            "hunyuan-next",
            "trainer",
            ("true",),
            cpus=(1,),
            priority=2,
            labels={"workload": "hunyuan-next", "model": "tiny"},
        ),
    ]
    me, now = proc.myself(), time.time()
    alive = {"pid": me.pid, "started": me.started}
    state = State(folder)
    state.set_tasks(tasks)
    state.set_processes([
        Process("gateway", "ready", now - 7210, **alive, port=8400, restarts=1),
        Process("customer-answers-0", "ready", now - 7200, **alive, port=8431, cpus=(0,)),
        Process("customer-answers-1", "backoff", now - 12, retry_at=now + 20, failures=2, restarts=2, error="exit status 1: CUDA out of memory"),
        Process("hunyuan-next", "ready", now - 3600, **alive, cpus=(1,)),
    ])  # fmt: skip
    state.set_pressure(2, 1.4)
    state.close()


def fill_ledger(folder: Path) -> None:
    """A day of requests: more by day than by night, some cut off, some failed."""
    now = time.time()
    requests = []
    for i in range(600):
        at = now - (i % 60) * 55 if i < 200 else now - i * 140
        app, model = (
            ("answers", "Hunyuan-A13B-Instruct"),
            ("meeting", "Hunyuan-7B-Instruct"),
            ("console", "Hunyuan-7B-Instruct"),
        )[i % 3]
        status = "failed" if i % 97 == 0 else "cancelled" if i % 41 == 0 else "ok"
        tokens = 120 + int(80 * math.sin(i / 9))
        requests.append(Request(f"r{i}", at, app, model, "customer-answers-0", 900, 270, tokens, status, 0.4, 3.2))  # type: ignore[arg-type]
    ledger = Ledger(folder)
    ledger.record(requests)
    ledger.close()


def fill_training(folder: Path, steps: int = 400) -> None:
    """A job with a falling loss."""
    folder.mkdir(parents=True)
    shape = json.loads((Path(__file__).parents[2] / "src/eke/training/tiny.json").read_text())
    job = {"name": "tiny", "model": shape, "corpus": "text.txt", "corpus_sha256": "0" * 64, "tokens": 16384 * 1200}
    (folder / "job.json").write_text(json.dumps(job))
    lines = []
    for step in range(1, steps + 1):
        loss = 1.35 + 4.2 * math.exp(-step / 55) + 0.04 * math.sin(step * 1.7)
        row = {
            "step": step,
            "tokens": step * 16384,
            "loss": loss,
            "learning_rate": 1e-3,
            "gradient_norm": 0.8,
            "seconds": 2.1,
        }
        lines.append(json.dumps(row | ({"validation_loss": loss + 0.12} if step % 25 == 0 else {})))
    (folder / "metrics.jsonl").write_text("\n".join(lines) + "\n")


@pytest.fixture
def infeasible() -> str:
    """A plan file that says no."""
    return json.dumps(plan(feasible=False))
