"""A profile: how much of a chip's peaks is really reached, per chip and engine family. Coefficients, no measurements.

Profiles lie in `profiles/<chip>.yaml`: a `kernels` part (the chip's own: GEMM, memory, links, experts).
`profiles/default.yaml` holds the guesses everything starts from, `profiles/serving.yaml` what
`benchmarks/fit_serving.py` fitted to published serving runs: for all accelerators, per engine family, and factors of
chip generations. What a chip's file does not say, that of its `relative` does, and that one's relative: shares of peak
carry over, peaks do not. What `eke calibrate` found of this very chip comes last: see `calibration.py`.

The saturating efficiencies are written as padding, which is the same formula read another way:
with E the saturated share and h a half-size, `E * x/(x + h)` of the peak on work x costs `(x + h) / (E * peak)`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cache
from math import exp
from pathlib import Path
from typing import Any, Literal

from eke import document
from eke.cost import calibration
from eke.cost.calibration import Calibration, Fit, slug
from eke.cost.tables import Basis
from eke.errors import InputError, UnknownName
from eke.figures import FALLBACK, Precision
from eke.fleet import catalogue
from eke.fleet.chip import Chip

_SHIPPED = Path(__file__).parent / "profiles"
FITTED = _SHIPPED / "serving.yaml"
ENGINES_OWN = ("attention", "attention_memory", "pad_query")
EIGHTY = 1.2816  # a normal distribution has 80% within so many standard deviations
LENT, UNKNOWN = 1.2, 1.5  # how much wider the spread is with a relative's coefficients, and with nobody's
REFERENCE = "H100-SXM"  # where the general shares of grouped products were found
_ORDER: tuple[Basis, ...] = ("guessed", "modelled", "measured")


@dataclass(frozen=True, slots=True)
class Profile:
    """Efficiencies of one chip under one engine family.

    Attributes:
        gemm: saturated share of peak FLOP/s by precision; `gemm_other` for precisions not listed.
        sustained: share of GEMM rate kept for hours (power, heat, stragglers); kernel tables measure bursts.
        pad_m, pad_n, pad_k: half-sizes of a GEMM: tokens, outputs, inputs (see the module's formula).
        attention: share of 16-bit peak in prefill attention; `pad_query` its half-size in query tokens.
        attention_decode: share of 16-bit peak in decode attention; `attention_memory` of bandwidth.
        memory: saturated share of bandwidth when streaming; `ramp_bytes` its half-size.
        elementwise: passes over the residual stream by norms and other element-wise kernels of a layer.
        computes_in: precision the engine computes in whatever the variant says; None: the variant's.
        kernel_s: seconds a kernel costs beyond its work.
        host_s: seconds the host works on a layer, hidden behind the chip where that takes longer; 0 with CUDA graphs.
        launch_s: seconds the host takes to launch a kernel where prompts are read, outside CUDA graphs.
        step_s, sequence_s: the engine's own seconds per step and per sequence.
        link_up, link_out: share of link speed reached; link_pair: by two chips of a domain, if more get less of it.
        latency_up_s, latency_out_s: per collective.
        latency_hop_s: more for each doubling of the group.
        latency_gather_s: per all-gather or reduce-scatter of eight ranks by the vendor's library; goes with their root.
        experts: share of a dense product's rate that grouped products of experts reach, by precision;
            `experts_memory` of its streaming.
        variety: tokens of a batch that choose experts as independent draws would, over all of them.
        experts_s: seconds a layer of experts costs beyond its products (routing, sorting, gathering), by precision;
            `routing` the share of them that an engine pays.
        selecting_s: seconds a layer of sparse attention takes to choose its tokens.
        sparse_heads: query heads its kernel computes at least where prompts are read, however few a rank has.
        handover_s: seconds to hand a read prompt's cache to the engine that decodes.
        one_shot: how much small all-reduces go as every rank's message to every other, not around; 0 to 1.
        request_s: seconds a request costs before its prompt is read (HTTP, scheduling).
        token_s: more for each token of its text, which one tokenizer takes request by request.
        arrival_s: more for each request in flight.
        turn: share of an iteration a request waits for its turn and its first token.
        speculation: share of drafted tokens that are kept where those before them are, less what drafting costs.
        mixing: share of prompt work that runs beside decodes in one iteration; the rest stops them and lets a line
            form.
        lockstep: share of the other data ranks' prompts that a data rank waits for.
        gathers: how data ranks reach few ranks of experts: 0, tokens are sent; 1, all are gathered and sums scattered;
            2, all-reduced where prompts are read.
        scattered: whether which data rank of an engine that only reads gets a prompt is chance; 0 or 1.
        ahead: iterations that an engine that only reads has put together before the one under way is done.
        imbalance: load of the busiest expert rank over the mean, at many ranks.
        overlap: share of gradient traffic that can hide behind the backward pass.
        overlap_tp: share of tensor collectives hidden in training.
        virtual_stages: most model chunks a pipeline rank holds in training.
        usable: share of memory the engine may use. reserve_bytes: what it keeps for itself before weights.
        batched_tokens: tokens of a full iteration, for working memory.
        head_bits: bits of embedding and output matrix; None: the variant's.
        spread: standard deviation of ln(measured / predicted); `first_spread` of times to the first token.
        source: where the coefficients come from.
    """

    chip: str
    engine: str
    basis: Basis
    source: str
    gemm: Mapping[Precision, float]
    gemm_other: float
    sustained: float
    pad_m: float
    pad_n: float
    pad_k: float
    attention: float
    pad_query: float
    attention_decode: float
    attention_memory: float
    memory: float
    ramp_bytes: float
    elementwise: float
    kernel_s: float
    host_s: float
    launch_s: float
    step_s: float
    sequence_s: float
    link_up: float
    link_out: float
    latency_up_s: float
    latency_out_s: float
    latency_hop_s: float
    latency_gather_s: float
    imbalance: float
    overlap: float
    overlap_tp: float
    virtual_stages: int
    experts: Mapping[Precision, float]
    experts_memory: Mapping[Precision, float]
    variety: float
    experts_s: Mapping[Precision, float]
    routing: float
    selecting_s: float
    sparse_heads: float
    handover_s: float
    one_shot: float
    request_s: float
    token_s: float
    arrival_s: float
    turn: float
    speculation: float
    mixing: float
    lockstep: float
    gathers: float
    scattered: float
    ahead: float
    usable: float
    reserve_bytes: float
    batched_tokens: float
    spread: float
    first_spread: float
    computes_in: Precision | None = None
    head_bits: float | None = None
    link_pair: float | None = None

    @property
    def interval(self) -> tuple[float, float]:
        """Factors (low, high) on seconds that hold 80% of log-normal residuals: exp(∓1.2816 spread)."""
        return exp(-EIGHTY * self.spread), exp(EIGHTY * self.spread)

    @property
    def first_interval(self) -> tuple[float, float]:
        """The same for times to the first token, which depend on who queues."""
        return exp(-EIGHTY * self.first_spread), exp(EIGHTY * self.first_spread)

    def gemm_share(self, precision: Precision) -> float:
        """Saturated share of peak in `precision`."""
        return self.gemm.get(precision, self.gemm_other)


def of_weights(profile: Profile, rate: float) -> Profile:
    """`profile` with vector products `rate` times as fast; what weights cost beside their products stays."""
    if rate == 1.0 or profile.computes_in != "fp32":
        return profile
    return replace(profile, gemm={p: share * rate for p, share in profile.gemm.items()}, pad_m=profile.pad_m * rate)


def weaker(*bases: Basis) -> Basis:
    """The least certain of several bases."""
    return min(bases, key=_ORDER.index)


@cache
def _read(path: Path) -> Mapping[str, Any]:
    held = document.read(path.read_text(encoding="utf-8"))
    if not isinstance(held, dict) or held.get("format") != "eke.profile/1":
        raise InputError(f"{path} is not a profile", why="its `format` is not eke.profile/1", remedy="eke calibrate")
    return held


def _shipped(chip: str) -> Mapping[str, Any] | None:
    path = _SHIPPED / f"{slug(chip)}.yaml"
    return _read(path) if path.exists() else None


def engines() -> tuple[str, ...]:
    """Engine families that have coefficients."""
    return tuple(sorted(_read(_SHIPPED / "default.yaml")["engines"]))


def relatives(chip: Chip) -> list[str]:
    """`chip` and those it may borrow from, nearest first."""
    names, seen = [chip.name], chip.relative
    while seen and seen not in names:
        names.append(seen)
        try:
            seen = catalogue.chip(seen).relative
        except UnknownName:  # an inline chip may name a relative the catalogue lacks
            break
    return names


def find(chip: Chip, engine: str, own: Calibration | Literal["here"] | None = "here") -> Profile:
    """The profile of `chip` under `engine`: what was calibrated here, its own, its relative's, or the default.

    Args:
        chip: what runs.
        engine: family of engine.
        own: what was calibrated of it: what lies `here`, or another, or nothing.

    Raises:
        UnknownName: an engine family without coefficients.
    """
    default, fitted = _read(_SHIPPED / "default.yaml"), _read(FITTED)
    known = default["engines"]
    if engine not in known:
        raise UnknownName("engine family", engine, known, remedy=f"one of {', '.join(sorted(known))}")
    serves = chip.kind != "cpu" and engine in fitted["engines"]
    names = relatives(chip)
    line = [profile for profile in map(_shipped, names) if profile is not None]
    values: dict[str, Any] = default["kinds"]["cpu" if chip.kind == "cpu" else "accelerator"] | {"basis": "guessed"}
    if serves:
        values |= fitted["accelerator"]
    for profile in reversed(line):  # what a chip's own file does not say, its relative's does
        values |= profile["kernels"] | {"basis": "modelled"}
    values |= known[engine]
    own = calibration.load(chip.name) if own == "here" else own
    timed = own.kernels if own else None
    if timed is not None:
        line = [{"chip": chip.name, "source": timed.source}, *line]
        values["basis"] = "modelled"
    if chip.kind == "cpu":
        values = _timed(values, timed) | default["on_cpu"].get(engine, {})
        values |= _measured_here(values, chip, engine)
    if serves:
        values |= fitted["engines"][engine]
        values |= _scaled(values, next((fitted["chips"][n] for n in names if n in fitted["chips"]), {}))
    if chip.kind != "cpu" and not any(chip.name in some for some in fitted["measured"].values()):
        found_on = next((p["chip"] for p in line if "experts" in p.get("kernels", {})), REFERENCE)
        values["experts"] = _balanced(values["experts"], chip, catalogue.chip(found_on))
    judged = _judged(values, chip, engine, line, fitted if serves else default)
    if chip.kind != "cpu":
        judged = _timed(judged, timed)
    return build(_lived(judged, own, engine))


def _balanced(experts: Mapping[Precision, float], chip: Chip, found_on: Chip) -> dict[Precision, float]:
    """Shares of a dense product's rate that grouped ones reach on `chip`, from those `found_on` another.

    What a grouped product takes beyond a dense one feeds small tiles and goes with memory bandwidth B, not with peak:
    1/R = 1/D + c/B, so the share is 1/(1 + c D/B). Kernel tables of A100, H100, H200, L40S and RTX PRO 6000
    (aiconfigurator-core 0.12.0: vLLM, 1,024 tokens and more, loads by power law) put 1/c at 37 to 68 FLOP a byte in 16
    bits, where the rate itself differs eightfold.
    """
    found = dict(experts)
    for precision, share in experts.items():
        wanted = (precision, *FALLBACK[precision])
        theirs = next((p for p in wanted if found_on.flops.get(p)), None)
        # Where one of the two computes in another precision, its kernels are others too: the share stays.
        if theirs and theirs == next((p for p in wanted if chip.flops.get(p)), None) and chip.memory_bandwidth:
            peaks = chip.flops[theirs] / found_on.flops[theirs]
            balance = peaks * found_on.memory_bandwidth / chip.memory_bandwidth
            found[precision] = 1.0 / (1.0 + (1.0 / share - 1.0) * balance)
    return found


def _timed(values: dict[str, Any], kernels: Fit | None) -> dict[str, Any]:
    """`values` with what kernels timed here say of this chip.

    Where whole runs of the engine on this chip were fitted, its attention stays as they have it: engines bring kernels
    of their own, and torch's are what was timed.
    """
    if kernels is None:
        return values
    kept = ENGINES_OWN if values["basis"] == "measured" else ()
    return calibration.merged(values, {n: v for n, v in kernels.coefficients.items() if n not in kept})


def _lived(values: dict[str, Any], own: Calibration | None, engine: str) -> dict[str, Any]:
    """`values` with what the user's own runs of `engine` say of this chip."""
    fit = own.serving.get(engine) if own else None
    if fit is None:
        return values
    spreads = {name: fit.spread or values[name] for name in ("spread", "first_spread")}
    about = {"basis": "measured", "source": fit.source, **spreads}
    return calibration.merged(values, fit.coefficients) | about


def _measured_here(values: Mapping[str, Any], chip: Chip, engine: str) -> dict[str, Any]:
    """What `eke calibrate` found of an engine's own products: their share of peak, and what weights cost beside them.

    A pass of m tokens takes 2 N m / R + N / U seconds for N weights, which is the padded product with m½ = R / 2U.
    """
    products, weights = (chip.figures.get(f"{engine}.{name}") for name in ("products", "weights"))
    peak = chip.figures.get("flops.fp32")
    if not (products and weights and peak):
        return {}
    shares = {**values["gemm"], "fp32": products.value / peak.value}
    return {"gemm": shares, "pad_m": products.value / (2.0 * weights.value), "basis": "measured"}


def _judged(
    values: Mapping[str, Any], chip: Chip, engine: str, line: Sequence[Mapping[str, Any]], general: Mapping[str, Any]
) -> dict[str, Any]:
    """`values` with their source, how well they are known, and how far they spread."""
    found = line[0] if line else None
    basis, wider = values["basis"], 1.0
    if chip.name in general.get("measured", {}).get(engine, ()):
        basis = "measured"
    if found is not None and (found["chip"] != chip.name or found.get("borrows")):  # all, or all but a little
        basis, wider = weaker(basis, "modelled"), LENT
    elif basis == "guessed":
        wider = UNKNOWN
    spreads = {name: values[name] * wider for name in ("spread", "first_spread")}
    source = (found or general)["source"]
    return {**values, **spreads, "basis": basis, "chip": chip.name, "engine": engine, "source": source}


def _scaled(values: Mapping[str, Any], factors: Mapping[str, float]) -> dict[str, Any]:
    """The coefficients that `factors` name, each times its factor; a table of them entry by entry."""
    return {
        name: {key: one * factor for key, one in values[name].items()}
        if isinstance(values[name], Mapping)
        else values[name] * factor
        for name, factor in factors.items()
    }


def build(values: Mapping[str, Any]) -> Profile:
    """A profile from plain values.

    Raises:
        InputError: names coefficients that are unknown or missing.
    """
    known = {f.name for f in fields(Profile)}
    optional = {"computes_in", "head_bits", "link_pair"}
    wrong = sorted(set(values) - known) or sorted(known - optional - set(values))
    if wrong:
        raise InputError(
            f"profile of {values.get('chip', '?')}: {', '.join(wrong)} unknown or missing",
            why="another version of eke wrote it",
            remedy="eke calibrate again; eke calibrate remove CHIP forgets all that was measured of it",
        )
    return Profile(**values)


def at_most(profile: Profile, basis: Basis) -> Profile:
    """`profile`, its basis no better than `basis`."""
    return replace(profile, basis=weaker(profile.basis, basis))
