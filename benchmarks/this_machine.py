"""Is the cost model right on this very machine? Serves real models here; what clients see beside what was said.

    python benchmarks/this_machine.py [--models embedded embedded-1.5b] [--vllm PYTHON --vllm-model FOLDER] [--rounds 2]
                                      [--parts speed defaults beside] [--json OUT]

speed     times to the first token, times per output token and tokens/s, by engine, model, clients and lengths
defaults  tokens/s of 8 clients: the engine as Eke starts it against the engine as it comes
beside    p95 time per output token of one core's engine alone, and beside a trainer on the other cores

The machine is calibrated first. Settings are measured in turns, round after round; medians over the rounds. Clients
send each request when the last is answered; what they send first is left out, since all come at once then. Prompts are
random tokens, so no cache helps.

As root, what is measured goes before everything else on the machine (nice -20, of its session too: where the system
groups tasks by session, nice alone means nothing between sessions). `held` is the share of the time its threads wanted
a core in which they had one: on a quiet machine 100%. `error` is of what was measured, `own` of that times `held`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import math
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import aiohttp

from eke.cost import CostModel, Layouts
from eke.cost.calibrate import cores
from eke.cost.closed_loop import steady
from eke.fleet import detect
from eke.models import catalogue, weights
from eke.models.variant import Variant, variants

CLIENTS = (1, 2, 4, 8)
LENGTHS = ((32, 48), (128, 32))  # tokens of prompt and answer
DIFFER = 0.2  # spread of lengths over their mean
REQUESTS = 2  # of each client, after its first
CONTEXT = 1024
CORES = sorted(os.sched_getaffinity(0))
COLUMNS = ("engine", "model", "threads", "clients", "prompt", "output", "ttft_s", "predicted_ttft_s", "tpot_s",
           "predicted_tpot_s", "tokens_per_s", "predicted_tokens_per_s", "held")  # fmt: skip
AS_IT_COMES = """
import sys, threading, xllamacpp
p = xllamacpp.CommonParams()
p.model.path, p.hostnames, p.port = sys.argv[1], ["127.0.0.1"], int(sys.argv[2])
server = xllamacpp.Server(p)
threading.Event().wait()
"""


@dataclass(frozen=True, slots=True)
class Seen:
    """What the clients of one setting saw: means over requests."""

    ttft_s: float
    tpot_s: float
    tokens_per_s: float
    held: float
    p95_tpot_s: float


def first_in_line() -> None:
    """This process and its session go before all others, where that is allowed."""
    if os.geteuid() == 0:
        os.setpriority(os.PRIO_PROCESS, 0, -20)
        with contextlib.suppress(OSError):
            if os.getsid(0) == os.getpid():  # nobody else's session
                Path("/proc/self/autogroup").write_text("-20")


@contextlib.contextmanager
def process(argv: list[str], cores: list[int], log: str, env: dict[str, str] | None = None) -> Iterator[int]:
    """A program on some cores; its process id, which is that of its session."""

    def ready() -> None:
        os.setsid()
        first_in_line()
        os.sched_setaffinity(0, cores)

    with Path(log).open("w") as out:
        child = subprocess.Popen(argv, stdout=out, stderr=out, preexec_fn=ready, env=os.environ | (env or {}))
    try:
        yield child.pid
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(20)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def held(session: int) -> tuple[int, int]:
    """Nanoseconds the session's threads had a core, and stood in line for one (sched-stats.rst of the kernel)."""
    had = stood = 0
    for task in Path("/proc").glob("[0-9]*/task/[0-9]*"):
        with contextlib.suppress(OSError, IndexError):
            if int((task / "stat").read_text().rsplit(")", 1)[1].split()[3]) == session:
                on, waited, _ = (task / "schedstat").read_text().split()
                had, stood = had + int(on), stood + int(waited)
    return had, stood


async def ask(
    http: aiohttp.ClientSession, url: str, prompt: int, output: int, draw: random.Random
) -> tuple[float, float]:
    """Seconds to the first token, and per token after it, of one streamed answer of exactly `output` tokens."""
    body = {
        "model": "m", "prompt": [draw.randrange(1000, 20000) for _ in range(prompt)], "max_tokens": output,
        "stream": True, "ignore_eos": True, "cache_prompt": False, "temperature": 0,
    }  # fmt: skip
    began, first, last = time.perf_counter(), math.nan, math.nan
    async with http.post(f"{url}/v1/completions", json=body) as answer:
        answer.raise_for_status()
        async for line in answer.content:
            if line.startswith(b"data: {"):
                last = time.perf_counter()
                first = last if math.isnan(first) else first
    return first - began, (last - first) / max(output - 1, 1)


async def loop(url: str, session: int, clients: int, prompt: int, output: int) -> Seen:
    """A closed loop of `clients`; the first request of each is not counted."""
    draw = random.Random(0)
    counted: list[tuple[float, float, int]] = []
    wide = DIFFER * math.sqrt(3) if clients > 1 else 0.0  # of a uniform distribution with that spread
    began = finished = 0.0

    async def client(http: aiohttp.ClientSession, place: int) -> None:
        nonlocal began, finished
        for turn in range(1 + REQUESTS):
            i, o = (max(2, round(n * draw.uniform(1 - wide, 1 + wide))) for n in (prompt, output))
            if turn == 0:
                o = max(2, o * (place + 1) // clients)  # apart from the start
            seen = await ask(http, url, i, o, draw)
            if turn:
                counted.append((*seen, o))
            finished = time.perf_counter()
            began = began or finished

    connector = aiohttp.TCPConnector(force_close=True)
    had, stood = held(session)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(900)) as http:
        await asyncio.gather(*(client(http, place) for place in range(clients)))
    more, longer = (now - then for now, then in zip(held(session), (had, stood), strict=True))
    tpots = sorted(t for _, t, _ in counted)
    ttft, tpot = statistics.mean(t for t, _, _ in counted), statistics.mean(tpots)
    rate = clients * output / (ttft + (output - 1) * tpot)  # what closed loops give; ends of a short run are not steady
    return Seen(ttft, tpot, rate, more / max(more + longer, 1), tpots[math.ceil(0.95 * len(tpots)) - 1])


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


async def up(url: str, log: str, patience_s: float = 240.0) -> None:
    """Wait until an engine answers."""
    deadline = time.monotonic() + patience_s
    async with aiohttp.ClientSession() as http:
        while time.monotonic() < deadline:
            with contextlib.suppress(aiohttp.ClientError):
                async with http.get(f"{url}/health") as answer:
                    if answer.status == 200:
                        return
            await asyncio.sleep(0.5)
    sys.exit(f"the engine did not come up: see {log}")


@contextlib.contextmanager
def engine(name: str, model: str, threads: int, slots: int, options: argparse.Namespace) -> Iterator[tuple[str, int]]:
    """An engine that serves `model`; its address and session. `as it comes`: llama.cpp without any of our settings."""
    port, log = free_port(), tempfile.mktemp(prefix="this_machine_", suffix=".log")
    file, env = str(weights.path(model) or ""), {"OMP_NUM_THREADS": str(threads)}
    cores = CORES[:threads]
    if name == "vllm":
        argv = [
            options.vllm, "-m", "vllm.entrypoints.openai.api_server", "--model", options.vllm_model,
            "--port", str(port), "--served-model-name", "m", "--host", "127.0.0.1", "--enforce-eager",
            "--max-model-len", str(CONTEXT), "--no-enable-prefix-caching", "--dtype", "bfloat16",
        ]  # fmt: skip
        env |= {
            "VLLM_CPU_KVCACHE_SPACE": "2", "VLLM_CPU_OMP_THREADS_BIND": f"{cores[0]}-{cores[-1]}", "PYTHONPATH": "",
            "VLLM_NO_USAGE_STATS": "1", "HF_HUB_OFFLINE": "1",
        }  # fmt: skip
    elif name == "as it comes":
        argv, env, cores = [sys.executable, "-c", AS_IT_COMES, file, str(port)], {}, CORES
    else:
        argv = [
            sys.executable, "-m", "eke.runtime.engines.llamacpp", "--model", file, "--alias", "m",
            "--port", str(port), "--parallel", str(slots), "--context", str(CONTEXT), "--threads", str(threads),
        ]  # fmt: skip
    with process(argv, cores, log, env) as session:
        url = f"http://127.0.0.1:{port}"
        asyncio.run(up(url, log))
        asyncio.run(loop(url, session, 1, 8, 2))
        yield url, session


def predicted(name: str, model: str, threads: int, clients: int, prompt: int, output: int) -> dict[str, float]:
    """What the cost model says of the same clients."""
    core = cores.ensure(detect.fleet().pools[0].chip).core()
    of = catalogue.architecture(model)
    form = Variant("bf16", 16.0, "bf16", 16.0, None) if name == "vllm" else variants(of)["int4"]
    cost = CostModel(of, core, form, engine=name)
    s = steady(cost, Layouts.of(threads), clients, prompt, output, differ=DIFFER if clients > 1 else 0.0)
    ttft, tpot = float(s.ttft_s[0]), float(s.tpot_s[0])
    return {
        "predicted_ttft_s": ttft, "predicted_tpot_s": tpot,
        "predicted_tokens_per_s": clients * output / (ttft + (output - 1) * tpot),
    }  # fmt: skip


def median(rounds: list[Seen]) -> Seen:
    """Of each figure, over the rounds."""
    return Seen(*(statistics.median(getattr(s, field) for s in rounds) for field in Seen.__slots__))


def speed(options: argparse.Namespace) -> list[dict[str, object]]:
    """Measured and predicted, setting by setting."""
    replicas = [("llamacpp", m, len(CORES)) for m in options.models] + [("llamacpp", options.models[0], 1)]
    if options.vllm:
        replicas.append(("vllm", "embedded", len(CORES)))
    settings = {
        r: [(c, *lengths) for lengths in LENGTHS for c in options.clients if c <= (2 if r[2] < len(CORES) else 8)]
        for r in replicas
    }
    seen: dict[tuple[object, ...], list[Seen]] = {}
    for turn in range(options.rounds):
        for replica, asked in settings.items():
            with engine(*replica, slots=max(options.clients), options=options) as (url, session):
                for setting in asked:
                    seen.setdefault((*replica, *setting), []).append(asyncio.run(loop(url, session, *setting)))
                    print(
                        f"round {turn + 1}",
                        *replica,
                        *setting,
                        seen[(*replica, *setting)][-1],
                        file=sys.stderr,
                        flush=True,
                    )
    return [
        dict(zip(COLUMNS, key, strict=False)) | asdict(median(rounds)) | predicted(*key) | {"rounds": len(rounds)}  # type: ignore[arg-type]
        for key, rounds in seen.items()
    ]


def errors(rows: list[dict[str, object]], *, own: bool) -> dict[str, dict[str, float]]:
    """Median absolute errors by engine and model; `own`: of the time in which the engine had its cores."""
    found: dict[str, dict[str, float]] = {}
    for key in dict.fromkeys((r["engine"], r["model"]) for r in rows):
        some = [r for r in rows if (r["engine"], r["model"]) == key]
        found[" ".join(map(str, key))] = {
            figure: statistics.median(
                abs(
                    float(r[f"predicted_{figure}"]) / (float(r[figure]) * (float(r["held"]) ** power if own else 1.0))
                    - 1
                )  # type: ignore[arg-type]
                for r in some
            )
            for figure, power in (("ttft_s", 1), ("tpot_s", 1), ("tokens_per_s", -1))
        }
    return found


def defaults(options: argparse.Namespace) -> dict[str, float]:
    """Tokens/s of 8 clients: as Eke starts the engine, and as it comes."""
    names = {"planned": "llamacpp", "as it comes": "as it comes"}
    seen: dict[str, list[Seen]] = {name: [] for name in names}
    for _ in range(options.rounds):
        for name, kind in names.items():
            with engine(kind, options.models[0], len(CORES), 8, options) as (url, session):
                seen[name].append(asyncio.run(loop(url, session, 8, *LENGTHS[0])))
                print(name, seen[name][-1], file=sys.stderr, flush=True)
    rates = {name: median(rounds).tokens_per_s for name, rounds in seen.items()}
    return rates | {"ratio": rates["planned"] / rates["as it comes"]}


def beside(options: argparse.Namespace) -> dict[str, float]:
    """p95 time per output token of an engine on one core, alone and beside a trainer, pinned as `eke up` pins them."""
    if len(CORES) < 2:
        sys.exit("beside: one core cannot be shared out")
    seen: dict[str, list[Seen]] = {"alone": [], "beside": []}
    train = [sys.executable, "-m", "eke", "train", "run", "--tokens", "200M", "--threads", str(len(CORES) - 1), "--dir"]
    with engine("llamacpp", options.models[0], 1, 2, options) as (url, session):
        for _ in range(2 * options.rounds):
            seen["alone"].append(asyncio.run(loop(url, session, 2, *LENGTHS[0])))
            with tempfile.TemporaryDirectory() as folder, process([*train, folder], CORES[1:], f"{folder}.log"):
                time.sleep(15)  # torch is loaded and the first steps are done
                seen["beside"].append(asyncio.run(loop(url, session, 2, *LENGTHS[0])))
            print({k: v[-1] for k, v in seen.items()}, file=sys.stderr, flush=True)
    p95 = {f"{name}_p95_tpot_s": median(rounds).p95_tpot_s for name, rounds in seen.items()}
    own = {name: statistics.median(s.p95_tpot_s * s.held for s in rounds) for name, rounds in seen.items()}
    return p95 | {
        "cost": p95["beside_p95_tpot_s"] / p95["alone_p95_tpot_s"] - 1,
        "own_cost": own["beside"] / own["alone"] - 1,
    }


def show(found: dict[str, object]) -> None:
    """Tables for people."""
    rows = found.get("speed")
    if isinstance(rows, list):
        heads = (
            "engine",
            "model",
            "thr",
            "cl",
            "prompt",
            "out",
            "TTFT",
            "pred",
            "TPOT",
            "pred",
            "tok/s",
            "pred",
            "held",
        )
        print("".join(f"{h:>{14 if n == 1 else 9}}" for n, h in enumerate(heads)))
        for r in rows:
            shown = (r[c] for c in COLUMNS)
            print(
                "".join(
                    f"{f'{v:.3g}' if isinstance(v, float) else v!s:>{14 if n == 1 else 9}}" for n, v in enumerate(shown)
                )
            )
        for name in ("error", "own"):
            for key, by in found[name].items():  # type: ignore[attr-defined]
                print(f"median {name}, {key}: " + ", ".join(f"{figure} {e:.1%}" for figure, e in by.items()))
    for part in ("defaults", "beside"):
        if part in found:
            print(f"{part}: " + ", ".join(f"{k} {v:.3g}" for k, v in found[part].items()))  # type: ignore[attr-defined]


def main() -> None:
    """Measure and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["embedded"])
    parser.add_argument("--clients", nargs="+", type=int, default=CLIENTS)
    parser.add_argument("--vllm", default="", help="a Python that has vllm-cpu")
    parser.add_argument("--vllm-model", default="", help="folder of the embedded model in bf16 for it")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--parts", nargs="+", default=["speed", "defaults", "beside"])
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if missing := [m for m in options.models if weights.path(m) is None]:
        sys.exit(f"no weights of {', '.join(missing)}: eke models fetch {missing[0]}")
    with contextlib.suppress(PermissionError):
        os.setsid()
    first_in_line()
    found: dict[str, object] = {"format": "eke.this_machine/1", "cores": len(CORES), "load": os.getloadavg()[0]}
    chip = detect.fleet().pools[0].chip
    figures = cores.measure(chip)
    cores.keep(chip, figures)
    found["calibration"] = asdict(figures)
    if "speed" in options.parts:
        rows = speed(options)
        found |= {"speed": rows, "error": errors(rows, own=False), "own": errors(rows, own=True)}
    if "defaults" in options.parts:
        found["defaults"] = defaults(options)
    if "beside" in options.parts:
        found["beside"] = beside(options)
    show(found)
    if options.json:
        options.json.write_text(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
