"""What Prometheus reads: requests, tokens, times to first and per further token, what runs and what waits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.process_collector import ProcessCollector

from eke.gateway.dialect import Tokens

TTFT_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 60, 120)
TPOT_S = (0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1)
SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 60, 120, 300, 600)


@dataclass(frozen=True, slots=True)
class _Series:
    """The series of one model, looked up once."""

    requests: dict[str, Counter]
    tokens: tuple[Counter, Counter, Counter]
    ttft: Histogram
    tpot: Histogram
    seconds: Histogram


class Metrics:
    """The series of one gateway.

    Args:
        in_flight: says how many requests are with engines.
        waiting: says how many wait for a slot.
    """

    def __init__(self, in_flight: Callable[[], float], waiting: Callable[[], float]) -> None:
        r = self.registry = CollectorRegistry()
        ProcessCollector(registry=r)
        by = ("model",)
        self._models: dict[str, _Series] = {}
        self._requests = Counter("eke_requests", "Requests, by how they ended", ("model", "status"), registry=r)
        self._tokens = Counter("eke_tokens", "Tokens; prompt includes cached", ("model", "kind"), registry=r)
        self._ttft = Histogram(
            "eke_ttft_seconds", "Time to the first token of a stream", by, registry=r, buckets=TTFT_S
        )
        self._tpot = Histogram("eke_tpot_seconds", "Time per further token of a stream", by, registry=r, buckets=TPOT_S)
        self._seconds = Histogram("eke_request_seconds", "Whole time of a request", by, registry=r, buckets=SECONDS)
        Gauge("eke_requests_in_flight", "Requests with an engine", registry=r).set_function(in_flight)
        Gauge("eke_requests_waiting", "Requests waiting for a slot", registry=r).set_function(waiting)

    def ended(self, model: str, status: str, tokens: Tokens, ttft_s: float | None, seconds: float) -> None:
        """One request more."""
        of = self._models.get(model) or self._series(model)
        of.requests[status].inc()
        for counter, count in zip(of.tokens, (tokens.prompt, tokens.cached, tokens.output), strict=True):
            if count:
                counter.inc(count)
        of.seconds.observe(seconds)
        if ttft_s is not None:
            of.ttft.observe(ttft_s)
            if tokens.output > 1:
                of.tpot.observe((seconds - ttft_s) / (tokens.output - 1))

    def _series(self, model: str) -> _Series:
        prompt, cached, output = (self._tokens.labels(model, kind) for kind in ("prompt", "cached", "output"))
        requests = {status: self._requests.labels(model, status) for status in ("ok", "cancelled", "failed")}
        times = (series.labels(model) for series in (self._ttft, self._tpot, self._seconds))
        self._models[model] = _Series(requests, (prompt, cached, output), *times)
        return self._models[model]

    def page(self) -> bytes:
        """The text Prometheus reads."""
        return generate_latest(self.registry)
