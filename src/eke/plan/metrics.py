"""What a running vLLM has served, read off its Prometheus page: requests, their lengths, cache hits and latencies.

Names of metrics as vLLM's V1 engine has them (docs.vllm.ai, design/metrics). It knows no scenario.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from eke.errors import InputError

QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
LENGTHS = ("vllm:request_prompt_tokens", "vllm:request_generation_tokens")
LATENCIES = ("vllm:time_to_first_token_seconds", "vllm:time_per_output_token_seconds")
BETWEEN_TOKENS = "vllm:inter_token_latency_seconds"
"""What newer engines count instead of the second of `LATENCIES`."""


@dataclass(frozen=True, slots=True)
class Served:
    """One model of a server, since it started.

    Attributes:
        rate_per_s: mean; None: the page does not say when it started.
        prompt, output: tokens by quantile. ttft_s, tpot_s: 95th percentiles as measured.
        prefix_hit: share of prompt tokens found in the cache; None: not counted.
    """

    model: str
    requests: float
    rate_per_s: float | None
    prompt: Mapping[str, float]
    output: Mapping[str, float]
    prefix_hit: float | None
    ttft_s: float | None
    tpot_s: float | None


def read(text: str, now_s: float) -> list[Served]:
    """The models of a page of metrics that have answered requests.

    Args:
        text: the page.
        now_s: when it was taken, in seconds of the epoch.

    Raises:
        InputError: not a page of vLLM's, or nothing answered yet.
    """
    values: dict[str, dict[str, float]] = {}  # metric → model → sum over engines
    buckets: dict[str, dict[str, dict[float, float]]] = {}
    started: float | None = None
    try:
        for family in text_string_to_metric_families(text):
            for s in family.samples:
                model = s.labels.get("model_name", "")
                if s.name == "process_start_time_seconds":
                    started = float(s.value)
                elif "le" in s.labels:
                    of = buckets.setdefault(s.name.removesuffix("_bucket"), {}).setdefault(model, {})
                    of[float(s.labels["le"])] = of.get(float(s.labels["le"]), 0.0) + float(s.value)
                elif s.name.startswith("vllm:"):
                    of_model = values.setdefault(s.name, {})
                    of_model[model] = of_model.get(model, 0.0) + float(s.value)
    except ValueError as error:
        raise InputError(
            "these are no Prometheus metrics", why=str(error), remedy="curl http://SERVER:8000/metrics"
        ) from error
    answered = {m: n for m, n in values.get("vllm:request_success_total", {}).items() if n > 0}
    if not answered:
        why = "there is no vllm:request_success_total above 0"
        raise InputError(
            "the metrics tell of no answered requests", why=why, remedy="take them from a vLLM server that has served"
        )
    lasted = now_s - started if started is not None and now_s > started else None
    return [_served(m, n, lasted, values, buckets) for m, n in sorted(answered.items())]


def _served(
    model: str, requests: float, lasted: float | None, values: Mapping[str, Mapping[str, float]],
    buckets: Mapping[str, Mapping[str, Mapping[float, float]]],
) -> Served:  # fmt: skip
    def at(metric: str, share: float) -> float | None:
        return quantile(buckets.get(metric, {}).get(model, {}), share)

    prompt, output = ({name: at(m, q) for name, q in QUANTILES.items()} for m in LENGTHS)
    asked = values.get("vllm:prefix_cache_queries_total", {}).get(model, 0.0)
    found = values.get("vllm:prefix_cache_hits_total", {}).get(model, 0.0)
    first, each = (at(m, 0.95) for m in LATENCIES)
    return Served(
        model, requests, requests / lasted if lasted else None, _whole(prompt), _whole(output),
        found / asked if asked else None, first, each if each is not None else at(BETWEEN_TOKENS, 0.95),
    )  # fmt: skip


def _whole(lengths: Mapping[str, Any]) -> dict[str, float]:
    return {name: float(max(1, round(v))) for name, v in lengths.items() if v is not None}


def quantile(buckets: Mapping[float, float], share: float) -> float | None:
    """A quantile of a histogram of cumulative counts by upper edge, straight inside a bucket (as Prometheus has it);
    None where it is empty.
    """
    edges = sorted(buckets.items())
    if not edges or edges[-1][1] <= 0:
        return None
    wanted = share * edges[-1][1]
    for (low, before), (high, upto) in pairwise([(0.0, 0.0), *edges]):
        if upto >= wanted and upto > before:
            return low if high == float("inf") else low + (high - low) * (wanted - before) / (upto - before)
    return edges[-1][0]
