"""llama.cpp through xllamacpp, one process a replica: the engine that comes along and needs no compiler and no GPU.

`python -m eke.runtime.engines.llamacpp --model weights.gguf --alias NAME --port P --parallel B --context C`
serves the OpenAI dialect until SIGTERM; then it finishes what it has begun, no longer than `DRAIN_S`.
It computes with as many threads as it has cores: with one more, its spinning threads starve each other.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from eke.errors import EkeError, NotInstalled
from eke.runtime.base import Task
from eke.runtime.engines.base import Replica, labels

NAME = "llamacpp"
HEALTH = "/health"
METRICS = {
    "running": "llamacpp:requests_processing",
    "waiting": "llamacpp:requests_deferred",
    "prompt_tokens": "llamacpp:prompt_tokens_total",
    "output_tokens": "llamacpp:tokens_predicted_total",
}
EXACT_USAGE = {"timings_per_token": True}  # each chunk carries timings: cache_n, prompt_n, predicted_n
CACHE_MIB = 512  # of prompts whose slot went to another; the library would take 8 GiB
DRAIN_S = 10.0
GRACE_S = DRAIN_S + 5.0


def task(replica: Replica) -> Task:
    """The task that serves `replica`."""
    options = {
        "--model": replica.weights,
        "--alias": replica.model,
        "--port": "{port}",
        "--parallel": str(replica.slots),
        "--context": str(replica.context),
    }
    return Task(
        name=replica.name,
        kind="engine",
        argv=(sys.executable, "-m", "eke.runtime.engines.llamacpp", *(w for pair in options.items() for w in pair)),
        cpus=replica.cpus,
        port=0,
        health=HEALTH,
        grace_s=GRACE_S,
        standby=replica.standby,
        priority=replica.priority,
        labels=labels(replica, NAME),
    )


def serve(model: Path, alias: str, port: int, threads: int, parallel: int, context: int) -> None:
    """Serve `model` on 127.0.0.1:`port` until SIGTERM.

    Args:
        model: a GGUF file.
        alias: the name clients ask for.
        port: where to listen.
        threads: that compute; 0: as many as this process has cores.
        parallel: concurrent requests.
        context: tokens each of them may hold.
    """
    if not model.is_file():
        raise EkeError(f"the weights {model} are not there", remedy="eke models fetch embedded")
    try:
        import xllamacpp
    except ImportError as error:
        raise NotInstalled("the embedded engine", "local") from error
    over = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: os._exit(0) if over.is_set() else over.set())
    server = xllamacpp.Server(_parameters(xllamacpp, model, alias, port, threads, parallel, context))
    print(f"{alias} at {server.listening_address}", file=sys.stderr)  # noqa: T201
    over.wait()
    _drain(server)
    os._exit(0)  # the library's own farewell waits for every open connection


def _parameters(xllamacpp: Any, model: Path, alias: str, port: int, threads: int, parallel: int, context: int) -> Any:
    threads = threads or len(os.sched_getaffinity(0))
    p = xllamacpp.CommonParams()
    p.model.path = str(model)
    p.model_alias = {alias}
    p.hostnames = ["127.0.0.1"]
    p.port = port
    p.cpuparams.n_threads = p.cpuparams_batch.n_threads = threads
    p.n_threads_http = parallel + 4  # beside the streams: health, metrics and a few that wait
    p.n_parallel = parallel
    p.n_ctx = parallel * context
    p.kv_unified = True
    p.cache_ram_mib = CACHE_MIB
    p.endpoint_metrics = True
    p.endpoint_slots = True
    p.use_jinja = True
    p.ui = False
    p.cors_origins = "http://127.0.0.1"  # no page of somebody else's may ask
    p.verbosity = 2  # warnings; a line a step of every request fills the disk
    return p


def _drain(server: Any) -> None:
    deadline = time.monotonic() + DRAIN_S
    while time.monotonic() < deadline and _busy(server):
        time.sleep(0.1)
    time.sleep(0.2)  # the last words of the last answer are still on their way


def _busy(server: Any) -> bool:
    series = "|".join((METRICS["running"], METRICS["waiting"]))
    counts = re.findall(rf"^(?:{series}) ([\d.]+)", server.handle_metrics(), re.MULTILINE)
    return any(float(count) > 0 for count in counts)


def main() -> None:
    """The process of one replica."""
    parser = argparse.ArgumentParser(prog="python -m eke.runtime.engines.llamacpp", description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="GGUF file")
    parser.add_argument("--alias", required=True, help="name clients ask for")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--threads", type=int, default=0, help="0: one a core it may use")
    parser.add_argument("--parallel", type=int, default=1, help="concurrent requests")
    parser.add_argument("--context", type=int, default=4096, help="tokens of each request")
    options = parser.parse_args()
    try:
        serve(**vars(options))
    except EkeError as error:
        sys.exit(" ".join(str(error).splitlines()))  # one line: it becomes the error that `eke status` shows
    except RuntimeError as error:
        sys.exit(f"{options.model} cannot be served: {error}")


if __name__ == "__main__":
    main()
