"""Predictions per second on one core: `python benchmarks/cost_speed.py [--rows N] [--peer [PYTHON]] [--json OUT]`.

A prediction is one row of a table: a decode step, a prompt, a mixed iteration, an optimizer step or a memory check
of one layout. Time is the process's own, so that neighbours do not count. The bar is 200,000 a second. With `--peer`,
AIConfigurator 0.12 beside it: one estimate (its tables loaded), and one search; see `peers_aiconfigurator.py`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

from eke.cost import CostModel, Layouts
from eke.fleet import catalogue as chips
from eke.models import catalogue as models
from eke.models.variant import Variant

BAR = 200_000
REPEATS = 5
CASES = (("Llama-3.1-70B", "H100-SXM"), ("Hunyuan-A13B-Instruct", "H20-96"), ("DeepSeek-V3", "H800-SXM"))


def rates(model: str, chip: str, rows: int) -> dict[str, float]:
    """Predictions a second by kind, the best of a few repeats."""
    rng = np.random.default_rng(7)
    fp8 = Variant("fp8", 8.0, "fp8", 8.0, None)
    cost = CostModel(models.architecture(model), chips.chip(chip), fp8)
    trained = CostModel(models.architecture(model), chips.chip(chip), fp8, engine="megatron")
    table = Layouts.of(2 ** rng.integers(0, 4, rows), 2 ** rng.integers(0, 3, rows), 1, 2 ** rng.integers(0, 3, rows))
    tokens, sequences = rng.integers(1, 8192, rows), rng.integers(1, 512, rows)
    asks: dict[str, Callable[[], object]] = {
        "decode": lambda: cost.decode(table, sequences, tokens),
        "prefill": lambda: cost.prefill(table, tokens),
        "mixed": lambda: cost.mixed(table, 512, sequences, tokens),
        "training": lambda: trained.training(table, 1, 4096, 4e6),
        "memory": lambda: cost.max_sequences(table, tokens),
    }
    return {name: rows / min(_seconds(ask) for _ in range(REPEATS)) for name, ask in asks.items()}


def _seconds(ask: Callable[[], object]) -> float:
    began = time.process_time()
    ask()
    return time.process_time() - began


def beside(interpreter: Path | None) -> dict[str, float]:
    """AIConfigurator's estimates a second, and the CPU seconds of one search of its and of ours."""
    import peers_aiconfigurator as peers

    peer, case = peers.Peer(interpreter or peers.python("aiconfigurator", peers.PACKAGES)), peers.CASES[0]
    points = [{"tp": 1, "pp": 1, "dp": 1, "ep": 1, "batch": b, "chunk": case.prompt} for b in range(1, 201)]
    peer.ask("price", case, points=points[:1])
    before = peer.cpu_s
    peer.ask("price", case, points=points[1:])
    per_s, before = (len(points) - 1) / (peer.cpu_s - before), peer.cpu_s
    peer.ask("search", case)
    search_s = peer.cpu_s - before
    peer.close()
    return {"per_s": per_s, "search_s": search_s, "our_search_s": _seconds(lambda: peers.on_our_model(case))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--peer", type=Path, nargs="?", const=Path(), help="run AIConfigurator too")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    runs = [{"model": m, "chip": c, "rows": asked.rows, "per_s": rates(m, c, asked.rows)} for m, c in CASES]
    names = list(runs[0]["per_s"])
    print(f"{'predictions a second, one core':32}" + "".join(f"{n:>14}" for n in names))
    for run in runs:
        print(f"{run['model']:32}" + "".join(f"{run['per_s'][n]:14,.0f}" for n in names))
    slowest = min(rate for run in runs for rate in run["per_s"].values())
    print(f"slowest {slowest:,.0f}; bar {BAR:,}: {'met' if slowest >= BAR else 'MISSED'}")
    peer = beside(asked.peer if asked.peer.name else None) if asked.peer is not None else None
    if peer:
        print(f"AIConfigurator 0.12: {peer['per_s']:,.0f} estimates a second; a search {peer['search_s']:.1f} CPU s, "
              f"ours {peer['our_search_s']:.2f}")  # fmt: skip
    if asked.json:
        host = {"machine": platform.processor() or platform.machine(), "numpy": np.__version__}
        document = {"date": datetime.now(UTC).isoformat(), "host": host, "bar": BAR, "slowest": slowest, "runs": runs}
        document["peer"] = peer
        asked.json.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
