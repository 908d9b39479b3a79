"""How published InferenceX runs with pools apart were set up, where columns do not say: engines, ranks, drafting.

`inferencex.csv` holds the search spaces of github.com/SemiAnalysisAI/InferenceX (Apache-2.0; nvidia-master.yaml in all
its versions up to May 2026): configurations and numbers of clients, no measurements. A row belongs to a configuration
of its model, chip, engine, precision and lengths, with its chips, image and clients, valid at its date. Several may do:
then the one that also explains the rows written beside it (a sweep stands together in a file, or under one config_id),
and drafts if the others of its day do. What a row measured decides nothing.
"""

from __future__ import annotations

import csv
import math
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

FILE = Path(__file__).with_suffix(".csv")
Layout = tuple[int, int, int]  # tp, ep, dp of one worker
Row = Mapping[str, str]

UNLIKELY = 0.2  # a row outside a configuration's clients, or its dates
OTHER_IMAGE = 0.4
HALF = 1.5  # rows further on, a neighbour counts half
ENGINE_RANKS = 8  # most tensor ranks of one engine on a 72-chip rack
AGREED = 0.8  # of a day's rows, for one that could go either way to follow
_FAMILIES = {"DeepSeek-V3": "DeepSeek-R1", "DeepSeek-R1": "DeepSeek-R1", "GLM-5": "GLM-5", "Kimi-K2.5": "Kimi-K2.5"}


@dataclass(frozen=True, slots=True)
class Setup:
    """One configuration and the numbers of clients it was run with."""

    drafts: bool
    readers: int
    read: Layout
    decoders: int
    decode: Layout
    batch: int  # most requests a data rank decodes at once; 0: not said
    read_batch: int  # most prompts one reads at once, and most tokens; 0: not said
    read_tokens: int
    image: str
    clients: tuple[int, ...]
    first: str
    last: str

    def reads(self, prompt: int) -> float:
        """Prompts a data rank reads at once; 0: not said."""
        told = [n for n in (self.read_tokens / prompt, float(self.read_batch)) if n]
        return max(min(told), 1.0) if told else 0.0

    @property
    def slots(self) -> float:
        """Prompts a data rank holds at once (SGLang's `max-running-requests`), read or not yet handed over."""
        return float(self.read_batch or math.inf)

    def chips(self) -> tuple[int, int]:
        """Of one engine that reads, and one that decodes."""
        return self.read[0] * self.read[2], self.decode[0] * self.decode[2]

    def likely(self, clients: int, date: str, image: str) -> float:
        """How well a number of clients, a date and an image fit, 0 to 1."""
        apart = min((abs(math.log(clients / c)) for c in self.clients), default=9.0)
        fit = 1.0 if apart == 0 else UNLIKELY * math.exp(-2.0 * apart)
        when = 1.0 if not date or self.first <= date <= self.last else UNLIKELY
        return fit * when * (1.0 if not image or image == self.image else OTHER_IMAGE)


@cache
def setups() -> Mapping[tuple[str, ...], tuple[Setup, ...]]:
    """All configurations by model, system, engine, precision, prompt and output."""
    found: dict[tuple[str, ...], list[Setup]] = defaultdict(list)
    with FILE.open(encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            key = tuple(row[k] for k in ("model", "system", "engine", "precision", "prompt", "output"))
            read, decode = (
                (int(row[f"{part}_tp"]), int(row[f"{part}_ep"]), int(row[f"{part}_dp"])) for part in ("read", "decode")
            )
            clients = tuple(int(c) for c in row["clients"].split())
            readers, decoders = int(row["readers"]), int(row["decoders"])
            when = row["first"], row["last"]
            found[key].append(
                Setup(
                    row["drafts"] == "1",
                    readers,
                    read,
                    decoders,
                    decode,
                    int(row["batch"]),
                    int(row["read_batch"]),
                    int(row["read_tokens"]),
                    row["image"],
                    clients,
                    *when,
                )
            )
    return {key: tuple(some) for key, some in found.items()}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a row stands: rows of one `sweep` belong together, `at` counts rows of a file; `day` is a day's runs."""

    sweep: str
    at: float
    day: tuple[str, ...]


def assign(rows: Sequence[Row], names: Sequence[str], clients: Sequence[int]) -> list[Setup | None]:
    """The likeliest configuration of each row, None where none is published, or the row's engine does both.

    Args:
        rows: of one file.
        names: each one's model, as the catalogue calls it.
        clients: requests in flight of each, over all engines.
    """
    options = [_options(row, name, count) for row, name, count in zip(rows, names, clients, strict=True)]
    places = [_place(row) for row in rows]
    sweeps, days = _by([p.sweep for p in places]), _by([p.day for p in places])
    known = [_drafts(some) for some in options]
    chosen: list[Setup | None] = []
    for here, some, drafts in zip(places, options, known, strict=True):
        if not some:
            chosen.append(None)
            continue
        beside = [(_near(here, places[at]), at) for at in sweeps[here.sweep]]
        if drafts == 0.0:
            told = [known[at] for at in days[here.day] if known[at]]
            many = abs(sum(told)) > AGREED * len(told) and len(told) > len(days[here.day]) / 4
            drafts = sum(told) if many else 0.0
        score = {
            setup: own
            * own
            * sum(w * options[at].get(setup, 0.0) for w, at in beside if w)
            * (UNLIKELY if drafts and setup.drafts != (drafts > 0) else 1.0 if not setup.drafts else 0.9)
            for setup, own in some.items()
        }
        chosen.append(max(score, key=score.__getitem__))
    return chosen


def _by(keys: Sequence[object]) -> Mapping[object, list[int]]:
    found: dict[object, list[int]] = defaultdict(list)
    for at, key in enumerate(keys):
        found[key].append(at)
    return found


def _options(row: Row, name: str, clients: int) -> dict[Setup, float]:
    """Configurations a row may belong to, and how well each fits."""
    if row["mode"] != "disagg" and not is_rack(row):
        return {}
    key = (_family(name), row["system"].split("_")[0], row["backend"], row["precision"], row["isl"], row["osl"])
    source = row.get("silicon_data_source", "")
    image = re.search(r":([\w.-]+)$", source.replace("#", ":"))
    said = image.group(1) if image and "." in image.group(1) else ""
    return {
        setup: setup.likely(max(clients, 1), _date(source), said)
        for setup in setups().get(key, ())
        if _fits(row, setup)
    }


def _drafts(options: Mapping[Setup, float]) -> float:
    """1 if all that fit well draft, -1 if none does, 0 if one cannot tell."""
    best = max(options.values(), default=0.0)
    kinds = {setup.drafts for setup, own in options.items() if own > 0.5 * best}
    return 0.0 if len(kinds) != 1 else 1.0 if kinds.pop() else -1.0


def _place(row: Row) -> Place:
    source = row.get("silicon_data_source", "")
    day = (source.split(";")[0], _date(source), row["system"], row["backend"], row["precision"])
    if found := re.search(r"config_id=(\d+)", source):
        return Place(f"config {found.group(1)} {_date(source)}", 0.0, day)
    number = re.search(r"_(\d+)$", row["id"])
    return Place(source.split(";")[0], float(number.group(1)) if number else math.inf, day)


def _near(a: Place, b: Place) -> float:
    return 1.0 if a.at == b.at else float(2.0 ** (-abs(a.at - b.at) / HALF))


def _fits(row: Row, setup: Setup) -> bool:
    """Whether chips, and engines where stated, are those of the row; some sources state all chips in one number."""
    reading, decoding = setup.chips()
    total = setup.readers * reading + setup.decoders * decoding
    if is_rack(row):
        return _number(row, "tp_size") == total
    counts = _number(row, "prefill_num_workers"), _number(row, "decode_num_workers")
    if counts[1] and counts != (setup.readers, setup.decoders):
        return False
    stated = tuple(
        max(_number(row, f"{p}_tp_size"), 1) * max(_number(row, f"{p}_attention_dp_size"), 1)
        for p in ("prefill", "decode")
    )
    if stated == (1, 1) and row["system"] == "gb200" and row["backend"] == "sglang":
        return True  # its columns were filled from a configuration whose layouts stood in a script
    return stated == (reading, decoding) or (stated[0] == stated[1] == total and not counts[1])


def is_rack(row: Row) -> bool:
    """Whether the row is of a 72-chip rack with all chips of two pools in one number.

    One source writes them so, and calls them one engine; every published configuration of such a rack has pools apart.
    """
    return row["mode"] != "disagg" and row["system"] == "gb200" and _number(row, "tp_size") > ENGINE_RANKS


def _family(name: str) -> str:
    return next((family for start, family in _FAMILIES.items() if name.startswith(start)), name)


def _date(source: str) -> str:
    found = re.search(r"measured=(\d{4}-\d\d-\d\d)", source)
    return found.group(1) if found else ""


def _number(row: Row, key: str) -> int:
    return int(float(row.get(key) or 0))
