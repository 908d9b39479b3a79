"""AIConfigurator 0.12 behind a pipe: runs in its own environment, imports nothing of ours.

One JSON request a line on stdin, one answer a line on stdout, each with the CPU seconds it took:

    {"ask": "search", "case": {...}}                  its default search, as its command line runs it
    {"ask": "price", "case": {...}, "points": [...]}  its own estimate of one engine that reads and writes
    {"ask": "parts", "case": {...}, "points": [...]}  of one that only reads (`role`: prefill) or only writes (decode)
    {"ask": "apart", "case": {...}, "prefill": point, "decode": point}   of both together, with `workers` of each

A case: model, system, gpus, prompt, output, ttft_ms, tpot_ms. A point: tp, pp, dp, ep, batch (per data rank), chunk.
"""

from __future__ import annotations

import contextlib
import json
import logging
import sys
import time
import warnings
from functools import cache
from typing import Any

warnings.simplefilter("ignore")
logging.disable(logging.CRITICAL)

BACKEND = "vllm"
COLUMNS = ("tokens/s/gpu_cluster", "ttft", "tpot", "tp", "pp", "dp", "moe_tp", "moe_ep", "bs", "ctx_tokens", "memory")


def search(case: dict[str, Any]) -> dict[str, Any]:
    """The best configuration of each kind it looked at: `agg` (one engine does both), `disagg`."""
    from aiconfigurator.cli import cli_default

    result = cli_default(
        case["model"], case["gpus"], case["system"], backend=BACKEND, isl=case["prompt"], osl=case["output"],
        ttft=case["ttft_ms"], tpot=case["tpot_ms"], top_n=1,
    )  # fmt: skip
    best: dict[str, Any] = {"chosen": result.chosen_exp}
    for kind, table in result.best_configs.items():
        if len(table):
            row = table.iloc[0]
            best[kind] = {c: float(row[c]) for c in COLUMNS if c in row}
    return best


@cache
def _database(system: str) -> Any:
    from aiconfigurator.sdk.perf_database import get_database_view, get_latest_database_version

    version = get_latest_database_version(system=system, backend=BACKEND)
    return get_database_view(system, BACKEND, version, allow_missing_data=False, database_mode="SILICON")


@cache
def _session(model: str, system: str, tp: int, pp: int, dp: int, ep: int) -> Any:
    """Its session of one layout; tensor ranks of experts are what expert ranks leave of a worker's GPUs."""
    from aiconfigurator.cli import api
    from aiconfigurator.sdk.backends.factory import get_backend
    from aiconfigurator.sdk.inference_session import InferenceSession
    from aiconfigurator.sdk.models import get_model

    experts = api.check_is_moe(model)
    rest = (tp * dp // ep, ep) if experts else (1, 1)
    config = api._build_model_config(tp, pp, dp, *rest, *(None,) * 5)
    api.resolve_context_fmha_by_data(config, model, _database(system), BACKEND, is_context_role=True)
    return InferenceSession(get_model(model, config, BACKEND), _database(system), get_backend(BACKEND))


def price(case: dict[str, Any], points: list[dict[str, int]]) -> list[dict[str, Any]]:
    """What it says of each point: tokens a second per GPU, TTFT, TPOT (ms), whether it fits; None where it cannot."""
    return [_price(case, p) for p in points]


def _price(case: dict[str, Any], p: dict[str, int]) -> dict[str, Any]:
    from aiconfigurator.sdk.config import RuntimeConfig

    try:
        session = _session(case["model"], case["system"], p["tp"], p["pp"], p["dp"], p["ep"])
        asked = RuntimeConfig(isl=case["prompt"], osl=case["output"], batch_size=p["batch"])
        summary = session.run_agg(asked, ctx_tokens=p["chunk"])
    except Exception as fault:  # noqa: BLE001 - what it does not know raises many things
        return {"fault": f"{type(fault).__name__}: {fault}"[:200]}
    row = summary.get_result_dict()
    fits = not (summary.check_oom() or summary.check_kv_cache_oom())
    return {"tokens": row["tokens/s/gpu"], "ttft_ms": row["ttft"], "tpot_ms": row["tpot"], "fits": fits}


MODES = {"prefill": ("static_ctx", 1.1), "decode": ("static_gen", 1.08)}
"""Its name for the role, and the factor its search puts on latencies (task_v2, 0.12.0)."""


def parts(case: dict[str, Any], points: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Requests a second of one worker, and its TTFT or TPOT (ms)."""
    return [_part(case, p) for p in points]


def _part(case: dict[str, Any], p: dict[str, Any]) -> dict[str, Any]:
    from aiconfigurator.sdk.config import RuntimeConfig

    mode, factor = MODES[p["role"]]
    try:
        session = _session(case["model"], case["system"], p["tp"], p["pp"], p["dp"], p["ep"])
        asked = RuntimeConfig(isl=case["prompt"], osl=case["output"], batch_size=p["batch"])
        summary = session.run_static(mode=mode, runtime_config=asked, latency_correction_scale=factor)
    except Exception as fault:  # noqa: BLE001 - what it does not know raises many things
        return {"fault": f"{type(fault).__name__}: {fault}"[:200]}
    row = summary.get_summary_df().iloc[0]
    fits = not (summary.check_oom() or summary.check_kv_cache_oom())
    return {"rate": float(row["seq/s"]), "ttft_ms": float(row["ttft"]), "tpot_ms": float(row["tpot"]), "fits": fits}


def apart(case: dict[str, Any], prefill: dict[str, int], decode: dict[str, int]) -> dict[str, Any]:
    """Its estimate of prefill and decode workers side by side, tokens a second over all their GPUs."""
    from aiconfigurator.cli.api import cli_estimate

    asked = {}
    for role, p in (("prefill", prefill), ("decode", decode)):
        asked |= {f"{role}_{k}_size": p[k] for k in ("tp", "pp", "batch")}
        asked |= {f"{role}_attention_dp_size": p["dp"], f"{role}_num_workers": p["workers"]}
        asked |= {f"{role}_moe_tp_size": p["tp"] * p["dp"] // p["ep"], f"{role}_moe_ep_size": p["ep"]}
    told = cli_estimate(
        case["model"],
        case["system"],
        mode="disagg",
        backend_name=BACKEND,
        isl=case["prompt"],
        osl=case["output"],
        **asked,
    )
    return {"tokens": float(told.tokens_per_second), "ttft_ms": float(told.ttft), "tpot_ms": float(told.tpot)}


def _answer(asked: dict[str, Any]) -> Any:
    if asked["ask"] == "search":
        return search(asked["case"])
    if asked["ask"] == "price":
        return price(asked["case"], asked["points"])
    if asked["ask"] == "parts":
        return parts(asked["case"], asked["points"])
    if asked["ask"] == "apart":
        return apart(asked["case"], asked["prefill"], asked["decode"])
    return None


def main() -> None:
    """Answer until stdin ends. What the package prints goes to stderr."""
    out = sys.stdout
    with contextlib.redirect_stdout(sys.stderr):
        for line in sys.stdin:
            began, clock = time.process_time(), time.perf_counter()
            try:
                answer = {"answer": _answer(json.loads(line))}
            except Exception as fault:  # noqa: BLE001 - told to who asked
                answer = {"fault": f"{type(fault).__name__}: {fault}"[:300]}
            took = {"cpu_s": time.process_time() - began, "wall_s": time.perf_counter() - clock}
            print(json.dumps(answer | took), file=out, flush=True)


if __name__ == "__main__":
    main()
