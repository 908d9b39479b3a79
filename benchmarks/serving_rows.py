"""Published serving runs as rows the cost model can price: what a file's columns mean. Knows no prediction.

Columns are those of `serving_silicon.csv`. Three things need reading, not only parsing:
- Where a run names both tensor and expert ranks of its experts, some sources multiplied them into `tp_size` (8 chips
  with 8 expert ranks stand there as 64): chips are the larger of the two numbers, never their product.
- `batch_size` is per data rank of attention; the number of clients is in the source column.
- NVFP4 and MXFP4 mixtures keep attention and shared experts in 16 bits, and the cache in 8, as their configs say;
  DeepSeek's only attention, less its last product (nvidia/DeepSeek-R1-0528-FP4-V2, which InferenceX serves).
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import inferencex
import settings
from eke.errors import EkeError
from eke.fleet import catalogue as chips
from eke.fleet.chip import Chip
from eke.models import catalogue as models
from eke.models.architecture import Architecture
from eke.models.variant import Variant
from inferencex import Setup
from settings import Case, Settings

Layout = tuple[int, int, int]  # tp, ep, dp of one worker

# What names add to a model's own, when the catalogue does not know it with them.
_SUFFIX = re.compile(
    r"[-_](FP8|NVFP4|MXFP4|FP4|BF16|AWQ|GPTQ|Int4|Int8|w4a16|w8a8|Instruct|Thinking|Preview|v\d|KV|dynamic|0528|2507)$",
    re.IGNORECASE,
)
# Forms of a chip that a system's name may add.
_FORM = re.compile(r"[-_](nvl\d*|sxm\d?|pcie|oam|\d+gb)$", re.IGNORECASE)
FEW, MANY = 6, 2  # engines that decode, where nobody says
CLIENTS_A_CHIP = 8  # from here on runs decode with data ranks
MANY_A_RANK = 64  # requests that a data rank decodes from which on it drafts one token
# Sources whose requests all have the same lengths; InferenceX draws them from 80-100% of the stated ones.
_EQUAL = re.compile(r"(qwen_qwen3|nvidia_|openai_gpt|qwen3_32b)", re.IGNORECASE)
_DAY = re.compile(r"measured=(\d{4}-\d\d-\d\d)")
_CLIENTS = re.compile(r"silicon_concurrency=(\d+)|_c(\d+)_")


@dataclass(frozen=True, slots=True)
class Worker:
    """One pool of equal engines: `count` of them (0: nobody says), each laid out alike."""

    layout: Layout
    count: int


@dataclass(frozen=True, slots=True)
class Run:
    """One published run. `prefill` is None where one engine does both. Seconds; tokens; `clients` in flight at once."""

    id: str
    engine: str
    chip: Chip
    model: Architecture
    variant: Variant
    prompt: int
    output: int
    clients: int
    decode: Worker
    prefill: Worker | None
    ttft_s: float
    tpot_s: float
    system: str
    published: str  # the model's name in the file
    apart: bool
    assumed: bool  # how many engines decode is not stated
    differ: float  # spread of lengths over their mean
    drafted: int  # tokens the model drafts for itself in an iteration
    settings: Settings
    places: float  # requests an engine decodes at once
    reads: float  # prompts a data rank reads at once; 0: not said
    slots: float  # prompts it holds until they are handed over

    @property
    def lengths(self) -> tuple[float, float]:
        """Mean tokens of a prompt and of an answer: those stated are the most where they differ."""
        return self.prompt * (1.0 - self.differ / 2.0), self.output * (1.0 - self.differ / 2.0)

    @property
    def kind(self) -> str:
        """`dense`, `moe` or `disaggregated`, as the file calls it."""
        if self.apart:
            return "disaggregated"
        return "moe" if self.model.has_experts else "dense"


def read(file: Path) -> tuple[list[Run], list[str]]:
    """The runs of a file, and of each row that cannot be priced its id and why."""
    runs: list[Run] = []
    unread: list[str] = []
    with file.open(encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    setups = inferencex.assign(rows, [_name(row) for row in rows], [_said(row) for row in rows])
    for row, setup in zip(rows, setups, strict=True):
        try:
            runs.append(_run(row, setup))
        except (EkeError, ValueError, KeyError) as fault:
            unread.append(f"{row.get('id', '?')} ({row.get('mode', '?')}): {fault}".splitlines()[0])
    return runs, unread


def _name(row: Mapping[str, str]) -> str:
    try:
        return find_model(row["model_path"]).name
    except EkeError:
        return ""


def _said(row: Mapping[str, str]) -> int:
    """Clients as the source says them; 0 where it does not."""
    found = _CLIENTS.search(row.get("silicon_data_source", "")) or _CLIENTS.search(row["id"])
    return int(found.group(1) or found.group(2)) if found else 0


def _run(row: Mapping[str, str], setup: Setup | None) -> Run:
    model, chip = find_model(row["model_path"]), find_chip(row["system"])
    apart = row["mode"] == "disagg"
    decode = _worker(row, "decode_" if apart else "")
    prefill = _worker(row, "prefill_") if apart else None
    clients, places, reads, slots = _clients(row, decode, apart), math.inf, 0.0, math.inf
    stated = bool(_number(row, "decode_num_workers"))
    if setup and not stated:
        prefill, decode = Worker(setup.read, setup.readers), Worker(setup.decode, setup.decoders)
        prefill, decode = _whole(prefill), _whole(decode)
    elif _is_total(row, apart, chip):
        prefill, decode = _pools(_number(row, "decode_tp_size" if apart else "tp_size"), clients)
    elif apart and not decode.count:
        decode = _assumed(decode, clients)
    if setup and setup.decoders == decode.count:
        places = setup.batch * decode.layout[2] or math.inf
        reads, slots = setup.reads(int(row["isl"])), setup.slots
    form, equal = variant(row, model, chip), bool(_EQUAL.match(row["id"]))
    prompt, output = int(row["isl"]), int(row["osl"])
    drafted = _drafted(row, model, setup, decode.layout[2])
    day = _DAY.search(row.get("silicon_data_source", ""))
    case = Case(
        row["backend"], model.name, chip.name, form.name, decode.layout, clients, prompt, output, drafted > 0,
        day.group(1) if day else "",
    )  # fmt: skip
    if prefill is None:
        decode = replace(decode, layout=settings.layout(case))
        case = replace(case, layout=decode.layout)
    return Run(
        id=row["id"],
        engine=row["backend"],
        chip=chip,
        model=model,
        variant=form,
        prompt=prompt,
        output=output,
        clients=clients,
        decode=decode,
        prefill=prefill,
        apart=apart,
        assumed=apart and not stated and setup is None,
        ttft_s=float(row["silicon_ttft_ms"]) / 1e3,
        tpot_s=float(row["silicon_tpot_ms"]) / 1e3,
        system=row["system"],
        published=row["model_path"],
        differ=0.0 if equal else 0.2,
        places=places,
        reads=reads,
        slots=slots,
        settings=settings.apart(case) if prefill else Settings() if equal else settings.settings(case),
        drafted=drafted,
    )


def _drafted(row: Mapping[str, str], model: Architecture, setup: Setup | None, ranks: int) -> int:
    """Tokens a run drafted at once: TensorRT-LLM's scripts say 3, with data ranks 1 (where pools are apart, with many
    requests on each); SGLang's 2 of DeepSeek, 3 of Qwen3.5.
    """
    if not (setup.drafts if setup else _drafts(row, model)):
        return 0
    if setup:
        return 1 if ranks > 1 and setup.batch > MANY_A_RANK else 3
    if row["backend"] == "trtllm":
        return 1 if ranks > 1 else 3
    return 2 if model.name.startswith("DeepSeek") else 3


def _drafts(row: Mapping[str, str], model: Architecture) -> bool:
    """Whether a run of one engine drafted by multi-token prediction: no column says so.

    TensorRT-LLM runs of DeepSeek-R1 come in pairs of equal columns, one 1.5 to 1.8 times as fast as the other, and the
    fast ones are exactly those of these releases and dates.
    """
    if row["mode"] != "agg" or row["backend"] == "vllm":
        return False
    if row["backend"] == "sglang":
        return _sglang_drafts(row, model)
    if not model.name.startswith("DeepSeek"):
        return False
    release, when = row.get("backend_version", ""), re.search(r"measured=([\d-]+)", row.get("silicon_data_source", ""))
    if release == "1.2.0rc6.post3":
        return True
    return release == "1.1.0rc2.post2" and when is not None and when.group(1) >= "2026-01"


def _sglang_drafts(row: Mapping[str, str], model: Architecture) -> bool:
    """SGLang on B200 in 8 bits, as InferenceX' search spaces (nvidia-master.yaml, February and March 2026) have it.

    Qwen3.5 on four ranks drafts wherever experts are not shared out. DeepSeek on eight from 2026-02-05 on: with more
    than 64 clients, or more than 4 and long prompts, only drafting is run; below, both are, and plain is taken.
    """
    if row["system"] != "b200_sxm" or row["precision"] != "fp8" or (_number(row, "moe_ep_size") or 1) > 1:
        return False
    ranks, clients, day = _number(row, "tp_size"), _said(row), _DAY.search(row.get("silicon_data_source", ""))
    if model.name.startswith("Qwen3.5"):
        return ranks == 4
    if not model.name.startswith("DeepSeek") or ranks != 8 or day is None or day.group(1) < "2026-02-05":
        return False
    return clients > (4 if row["isl"] == "8192" else 64)


def find_chip(name: str) -> Chip:
    """A chip by a system's name: as it stands, else without its form (`gb300_nvl72`, `a100_sxm`, `h20_sxm`)."""
    plain = name.replace("_", "-")
    try:
        return chips.chip(plain)
    except EkeError:
        return chips.chip(_FORM.sub("", plain))


def find_model(name: str) -> Architecture:
    """A model by its published name, without what quantisers add to it."""
    tries = list(_shorter(name))
    for candidate in tries[:-1]:
        try:
            return models.architecture(candidate)
        except EkeError:
            continue
    return models.architecture(tries[-1])


def _shorter(name: str) -> Iterator[str]:
    yield name
    name = name.rsplit("/", 1)[-1]
    yield name
    while (shorter := _SUFFIX.sub("", name)) != name:
        name = shorter
        yield name
    yield name.removeprefix("NVIDIA-")


def _number(row: Mapping[str, str], key: str) -> int:
    return int(float(row.get(key) or 0))


def _worker(row: Mapping[str, str], part: str) -> Worker:
    tp, dp = max(_number(row, f"{part}tp_size"), 1), max(_number(row, f"{part}attention_dp_size"), 1)
    moe_tp, ep = max(_number(row, f"{part}moe_tp_size"), 1), max(_number(row, f"{part}moe_ep_size"), 1)
    found = _CLIENTS.search(row.get("silicon_data_source", ""))
    if (
        found
        and part == ""
        and not row.get("attention_dp_size")
        and ep > 1
        and _number(row, "batch_size") * ep == int(found.group(1) or 0)
    ):
        tp, dp = max(tp // ep, 1), ep  # a batch for each of ep ranks: attention was data-parallel
    wanted = tp * dp
    if part == "" and moe_tp == ep > 1 and wanted == moe_tp * ep:
        wanted = max(moe_tp, ep)
    elif part == "" and tp > 1 and dp > 1 and ep == tp * dp:
        wanted = max(tp, dp)  # the same: `tp 4, dp 4, ep 16` is four chips
    if wanted != tp * dp:
        tp, dp, ep = (1, wanted, wanted) if dp > 1 else (wanted, 1, wanted)
    if part and dp > 1 and ep == 1:
        ep = tp * dp  # data ranks hold whole experts; cutting one over 32 ranks is nothing an engine does
    if (tp * dp) % ep:
        ep = 1
    return Worker((tp, ep, dp), _number(row, f"{part}num_workers"))


def _is_total(row: Mapping[str, str], apart: bool, chip: Chip) -> bool:
    """Whether `tp_size` is all chips of a run in two pools, as one source writes runs on 72-chip racks."""
    tp = _number(row, "decode_tp_size" if apart else "tp_size")
    same = not apart or tp == _number(row, "prefill_tp_size") == _number(row, "prefill_moe_tp_size")
    return tp > 8 and same and chip.scale_up_chips >= 72 and not _number(row, "decode_num_workers")


def _whole(worker: Worker) -> Worker:
    """Data ranks hold whole experts; cutting one over 32 ranks is nothing an engine does."""
    tp, ep, dp = worker.layout
    return Worker((tp, tp * dp, dp), worker.count) if dp > 1 and ep == 1 else worker


def _assumed(decode: Worker, clients: int) -> Worker:
    """How a run decodes that does not say with how many engines.

    As runs that do say: with few clients six engines of tensor ranks, with many two of data ranks.
    """
    tp, ep, dp = decode.layout
    if dp == 1 and clients >= CLIENTS_A_CHIP * FEW * tp:
        return Worker((1, tp, tp), MANY)
    return Worker((tp, ep, dp), FEW)


def _pools(total: int, clients: int) -> tuple[Worker, Worker]:
    """Engines that read in fours, and the most eights up to 32 chips that decode, as where such runs are laid out.

    Few clients: each eight is an engine of its own. Many: all are data ranks of one.
    """
    decoding = max(min((total - 1) // 8 * 8, 32), 4)
    reading = max((total - decoding) // 4, 1)
    if clients < CLIENTS_A_CHIP * decoding:
        return Worker((4, 4, 1), reading), Worker((min(decoding, 8), min(decoding, 8), 1), max(decoding // 8, 1))
    return Worker((1, 4, 4), reading), Worker((1, decoding, decoding), 1)


def _clients(row: Mapping[str, str], decode: Worker, apart: bool) -> int:
    batch = _number(row, "decode_batch_size" if apart else "batch_size")
    stated = max(_number(row, "decode_attention_dp_size" if apart else "attention_dp_size"), 1)
    counted = batch * stated * max(decode.count, 1)  # of one replica; a source may state those of several
    found = _CLIENTS.search(row.get("silicon_data_source", "")) or _CLIENTS.search(row["id"])
    if not found and not batch:
        raise ValueError("neither a batch size nor a number of clients")
    said = int(found.group(1) or found.group(2)) if found else counted
    return min(said, counted) if batch else said


def variant(row: Mapping[str, str], model: Architecture, chip: Chip) -> Variant:
    """In how many bits the run held its weights and cache, and what it computed in."""
    stated = f"{row.get('gemm_quant_mode', '')} {row.get('moe_quant_mode', '')} {row.get('precision', '')}"
    if "fp4" in stated or (model.name.startswith("gpt-oss") and model.native_precision == "fp4"):
        wide = 16.0 if model.has_experts else None
        bits = 4.25 if model.name.startswith("gpt-oss") else 4.5  # MXFP4: a scale for 32 values; NVFP4: for 16
        narrow = model.name.startswith("DeepSeek")
        return Variant("fp4", bits, "fp4" if chip.flops.get("fp4") else "bf16", 8.0, None, wide, narrow)
    if "int4" in stated or "w4a16" in stated:  # weights alone, in groups of 128 or 32 with 16-bit scales
        return Variant("int4", 4.25, "bf16", 16.0, None, 16.0 if model.has_experts else None)
    if "fp8" in stated:
        return Variant("fp8", 8.0, "fp8", 8.0, None)
    return Variant("bf16", 16.0, "bf16", 16.0, None)
