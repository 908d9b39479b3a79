"""The words a scenario file may use, as Pydantic models: the edge where text becomes numbers in base units.

It checks each value by itself; whether names exist and values agree is asked by `reading`.
"""

from __future__ import annotations

import re
from math import isfinite
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, field_validator

from eke import units
from eke.errors import UnitError
from eke.figures import Precision


def _quantity(kind: str, *, above: float | None = None, least: float | None = None, most: float | None = None) -> Any:
    """A field type: a quantity of `kind` within bounds. Errors leave the key to whoever knows the whole path."""

    def read(value: object) -> float:
        try:
            number = units.read(kind, value, "")
        except UnitError as error:
            raise ValueError(f"{error.what.removeprefix(': ')}; as in {error.remedy.removeprefix(': ')}") from error
        low, high = (least if above is None else above), most
        if not isfinite(number):
            raise ValueError(f"{value!r} must be a finite number")
        if low is not None and (number < low or (above is not None and number == low)):
            raise ValueError(f"{value!r} must be {'at least' if above is None else 'more than'} {low:g}")
        if high is not None and number > high:
            is_percent = kind == "fraction" and not isinstance(value, str) and 1 < number <= 100 * high
            percent = f"; as in {number:g}%" if is_percent else ""
            raise ValueError(f"{value!r} must be at most {high:g}{percent}")
        return number

    written = WithJsonSchema({"type": ["number", "string"], "description": f"such as {units.example(kind)}"})
    return Annotated[float, BeforeValidator(read), written]


def _name(value: object) -> str:
    if not isinstance(value, str) or not value.strip() or "/" in value or value.startswith("."):
        raise ValueError(f"{value!r} is not a name; as in customer-answers")
    return value


def _whole(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError(f"{str(value).lower()} is not a whole number")
    return value


def _flops(value: object) -> object:
    if not isinstance(value, dict):
        raise ValueError(f"{value!r} is not a table of precisions; as in {{bf16: 148 TFLOPS, fp8: 296 TFLOPS}}")
    return value


Name = Annotated[str, BeforeValidator(_name)]
if TYPE_CHECKING:
    Bytes = float
    Bandwidth = float
    Seconds = float
    Tokens = float
    Rate = float
    Share = float
    Quality = float
    Hit = float
    FlopPerS = float
    Growth = float
    Watts = float
else:
    Bytes, Bandwidth = _quantity("bytes", above=0), _quantity("bytes_per_s", above=0)
    Seconds, Tokens = _quantity("seconds", above=0), _quantity("tokens", above=0)
    Rate, Share = _quantity("per_s", least=0), _quantity("fraction", least=0, most=1)
    Quality, Hit = _quantity("fraction", above=0, most=1.5), _quantity("fraction", least=0, most=0.99)
    FlopPerS, Growth = _quantity("flop_per_s", above=0), _quantity("fraction_per_s", least=0)
    Watts = _quantity("watts", above=0)


def _nodes(value: object) -> object:
    """`1`, `1 node` or `2 nodes`."""
    match = re.fullmatch(r"\s*(\d+)\s*nodes?\s*", value) if isinstance(value, str) else None
    return int(match[1]) if match else _whole(value)


Count = Annotated[int, BeforeValidator(_whole), Field(ge=0, le=10**9)]
Some = Annotated[int, BeforeValidator(_whole), Field(ge=1, le=10**9)]
Priority = Annotated[int, BeforeValidator(_whole), Field(ge=0, le=1000, examples=[1])]
Value = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Quantiles = Annotated[
    dict[str, Tokens] | Tokens,
    Field(union_mode="left_to_right", description="a table of quantiles or a number of tokens"),
]


class Section(BaseModel):
    """Part of a scenario file; keys nobody knows are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ScaleUp(Section):
    """Chips of one scale-up domain and their link."""

    chips: Some = Field(examples=[8])
    bandwidth: Bandwidth = Field(examples=["200 GB/s"])


class InlineChip(Section):
    """A chip no catalogue holds."""

    name: Name = Field(examples=["my-chip"])
    memory: Bytes = Field(examples=["64 GB"])
    memory_bandwidth: Bandwidth = Field(examples=["1.6 TB/s"])
    flops: Annotated[dict[Precision, FlopPerS], BeforeValidator(_flops)] = Field(
        min_length=1, examples=["{bf16: 300 TFLOPS}"]
    )
    scale_up: ScaleUp | None = Field(default=None, examples=["{chips: 8, bandwidth: 200 GB/s}"])
    tdp: Watts | None = Field(default=None, examples=["400 W"])


class PoolSection(Section):
    """Like nodes on one network."""

    name: Name = Field(examples=["h800"])
    chip: str | InlineChip = Field(
        examples=["H800-SXM"], description="a chip of the catalogue (eke fleet chips) or a table that describes one"
    )
    nodes: Count = Field(examples=[16])
    chips_per_node: Some = Field(default=8, examples=[8])
    scale_out: Bandwidth | None = Field(default=None, examples=["400 Gb/s"])
    available: Share | None = Field(default=None, examples=["97%"])
    reserved: Count = Field(default=0, examples=[0])
    power_cap: Watts | None = Field(default=None, examples=["120 kW"])
    storage: Bandwidth | None = Field(
        default=None, examples=["2 GB/s"], description="weights read for each chip of a replica that starts"
    )


class LinkSection(Section):
    """A link between two pools."""

    between: tuple[str, str] = Field(examples=["[h800, h20]"])
    bandwidth: Bandwidth = Field(examples=["200 Gb/s"])


class FleetSection(Section):
    """What you own."""

    pools: list[PoolSection] = Field(min_length=1, examples=["[{name: h20, chip: H20-96, nodes: 16}]"])
    links: list[LinkSection] = Field(default=[], examples=["[{between: [h800, h20], bandwidth: 200 Gb/s}]"])


class LengthsSection(Section):
    """Quantiles of prompt and output lengths in tokens, or one length for all."""

    prompt: Quantiles = Field(examples=["{p50: 1020, p90: 2735, p99: 4142}"])
    output: Quantiles = Field(examples=["{p50: 129, p90: 424, p99: 601}"])


class TrafficSection(Section):
    """Requests: a rate with lengths, or a trace."""

    rate: Rate | None = Field(default=None, examples=["20/s"])
    profile: str | list[Annotated[float, Field(ge=0, le=1e6)]] | None = Field(
        default=None, examples=["office-day"], description="a profile's name or a list of numbers, one a slot"
    )
    lengths: LengthsSection | None = Field(default=None, examples=["{prompt: {p50: 1020}, output: {p50: 129}}"])
    prefix_hit: Hit | None = Field(default=None, examples=["30%"])
    trace: str | None = Field(default=None, examples=["requests.csv"])


class SloSection(Section):
    """The latency promised."""

    ttft: Seconds = Field(examples=["1 s"])
    tpot: Seconds = Field(examples=["50 ms"])
    percentile: Annotated[float, Field(ge=50, lt=100)] = Field(default=95.0, examples=[95])

    @field_validator("percentile", mode="before")
    @classmethod
    def _without_letter(cls, value: object) -> object:
        return value.removeprefix("p") if isinstance(value, str) else value


class AlternativeSection(Section):
    """A smaller model that may take a share."""

    model: str = Field(examples=["Hunyuan-7B-Instruct"])
    quality: Quality = Field(examples=[0.94])
    share: Share = Field(examples=["60%"])


class WorkloadSection(Section):
    """What all workloads have."""

    model: str = Field(examples=["Qwen3-8B"])
    pools: list[str] | None = Field(default=None, examples=["[h800, h20]"])
    value: Value | None = Field(default=None, examples=[1.5])


class ServeSection(WorkloadSection):
    """Answer requests."""

    serve: Name = Field(examples=["chat"])
    variants: list[str] | None = Field(default=None, min_length=1, examples=["[bf16, fp8]"])
    alternatives: list[AlternativeSection] = Field(
        default=[], examples=["[{model: Hunyuan-7B-Instruct, quality: 0.94, share: 60%}]"]
    )
    min_quality: Share = Field(default=0.97, examples=[0.97])
    traffic: TrafficSection = Field(
        examples=["{rate: 20/s, lengths: {prompt: {p50: 1020, p99: 4142}, output: {p50: 129, p99: 601}}}"]
    )
    slo: SloSection = Field(examples=["{ttft: 1 s, tpot: 50 ms, percentile: 95}"])
    survives: Annotated[int, BeforeValidator(_nodes), Field(ge=0, le=100)] = Field(
        default=0, examples=["1 node"], description="nodes, whichever they are, that may go down at once"
    )
    priority: Priority = 1


class TrainSection(WorkloadSection):
    """Train a model."""

    train: Name = Field(examples=["next"])
    tokens: Tokens = Field(examples=["15T"])
    sequence: Annotated[int, BeforeValidator(_whole), Field(ge=1, le=10**8)] = Field(examples=[4096])
    global_batch: Tokens = Field(examples=["4M"])
    deadline: Seconds | None = Field(default=None, examples=["180 d"])
    precision: Literal["bf16", "fp8"] = Field(default="bf16", examples=["bf16"])
    priority: Priority = 1


class BatchSection(WorkloadSection):
    """Work through a pile."""

    batch: Name = Field(examples=["clean-corpus"])
    tokens_per_day: Tokens = Field(examples=["20B"])
    lengths: LengthsSection = Field(examples=["{prompt: {p50: 2000}, output: {p50: 200}}"])
    prefix_hit: Hit = Field(default=0.0, examples=["30%"])
    variants: list[str] | None = Field(default=None, min_length=1, examples=["[bf16, fp8]"])
    min_quality: Share = Field(default=0.97, examples=[0.97])
    priority: Priority = 9


class ArrivalSection(Section):
    """Nodes that may come."""

    pool: str = Field(examples=["ascend"])
    nodes: Count = Field(examples=[32])
    at: Seconds = Field(examples=["6 mo"])
    chance: Share = 1.0


class RestartsSection(Section):
    """How often a chip stops a job, and how long it takes to go on."""

    mean_time_between_failures: Seconds = Field(examples=["50 kh"])
    recovery: Seconds = Field(examples=["12 min"])
    checkpoint: Seconds | None = None
    checkpoint_stall: Seconds | None = None


class GenerationsSection(Section):
    """How demand and stock move."""

    first: str = Field(examples=["next"])
    compute_growth: Annotated[float, Field(gt=0, le=1e6)] = Field(examples=[3.0])
    model_growth: Annotated[float, Field(gt=0, le=1e6)] = Field(examples=[1.7])
    serving_growth: Growth = 0.0
    horizon: Seconds = Field(examples=["36 mo"])
    attrition: dict[str, Growth] = Field(default={}, examples=["{default: 6%/y}"])
    arrivals: list[ArrivalSection] = []
    restarts: RestartsSection | None = None


class Top(Section):
    """The file; fleet and workloads are read one by one."""

    format: Literal["eke.scenario/1"] = Field(examples=["eke.scenario/1"])
    name: Name = Field(examples=["two-generations"])
    fleet: Any = Field(examples=["detect"])
    workloads: list[Any] = Field(min_length=1, examples=["[{serve: chat, …}]"])
    objective: Literal["train-progress", "fewest-chips", "least-energy", "value"] = Field(
        default="train-progress", examples=["fewest-chips"]
    )
    slots: Literal[1, 2, 3, 4, 6, 8, 12, 24] = Field(default=1, examples=[24])
    generations: GenerationsSection | None = None
    without: list[str] = []


WORKLOADS: dict[str, type[ServeSection] | type[TrainSection] | type[BatchSection]] = {
    "serve": ServeSection, "train": TrainSection, "batch": BatchSection,
}  # fmt: skip
