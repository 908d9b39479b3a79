"""Models by name: one YAML file a family, facts only. Knows names and files; what they mean is `eke.models.config`'s.

An entry holds the keys of `config.json` that cost time or memory, where they come from, and the parameter counts its
maker publishes. `like: NAME` takes another entry's keys first. Names are read without case, without the
organisation (`Qwen/Qwen3-8B`), and without a suffix that does not change the shape (`-Instruct`).
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from eke import document, units
from eke.errors import InputError, UnknownName
from eke.models.architecture import Architecture
from eke.models.config import parse

_SAME_SHAPE = ("-instruct", "-chat", "-base", "-it", "-pt", "-hf", "-thinking")
# What others' checkpoints add to a name, and the variant of ours that they hold.
_QUANTISED = re.compile(
    r"[-_.](?:quantized\.)?"
    r"(?:(?P<int4>awq|gptq(-int4)?|int4|w4a16|gguf|bnb-4bit)|(?P<int8>gptq-int8|int8|w8a8)|(?P<fp8>fp8(-dynamic)?))$"
)


@dataclass(frozen=True, slots=True)
class Published:
    """Parameter counts as the maker states them.

    Attributes:
        counts: what `active` holds besides the blocks: the output matrix (`head`), the input embedding too (`both`),
            or `neither`. Makers differ.
        to: the step the maker rounds or cuts to, where that is coarser than 2%.
    """

    total: float
    active: float | None
    counts: Literal["head", "both", "neither"]
    source: str
    to: float = 0.0

    def active_of(self, architecture: Architecture) -> float:
        """The active count of `architecture`, counted the maker's way."""
        a = architecture
        embedding = a.embedding_parameters if a.head_parameters else 0
        head = a.head_parameters or a.embedding_parameters
        return a.active_parameters + {"head": 0, "both": embedding, "neither": -head}[self.counts]


@dataclass(frozen=True, slots=True)
class Entry:
    """One model of the catalogue. `hub` is its name on the model hub, `config` its keys, complete."""

    name: str
    hub: str | None
    aliases: tuple[str, ...]
    config: Mapping[str, Any]
    source: str
    published: Published | None = None
    note: str = ""


def names() -> list[str]:
    """Every model of the catalogue, in the order of the files."""
    return [e.name for e in entries()]


@cache
def entries() -> tuple[Entry, ...]:
    """The catalogue."""
    folder = resources.files(__name__)
    files = sorted((p for p in folder.iterdir() if p.name.endswith(".yaml")), key=lambda p: p.name)
    rows = [row for file in files for row in document.read(file.read_text("utf-8"))["models"]]
    by_name = {row["name"]: row for row in rows}
    return tuple(_entry(row, by_name) for row in rows)


def entry(name: str) -> Entry:
    """The entry called `name`, or one of its aliases.

    Raises:
        UnknownName: nothing is called so; near names are offered.
    """
    known, asked = _known(), name.strip().casefold().rsplit("/", 1)[-1]
    bare = next((asked.removesuffix(s) for s in _SAME_SHAPE if asked.endswith(s)), asked)
    for candidate in (asked, bare, f"{bare}-instruct"):
        if (found := known.get(_plain(candidate))) is not None:
            return found
    everything = {n for e in entries() for n in (e.name, *e.aliases)}
    raise UnknownName("model", name, everything, remedy=_remedy(asked))


def _remedy(asked: str) -> str:
    """What to write instead of an unknown name: of a quantised checkpoint, its model and which variant it is."""
    if (quantised := _QUANTISED.search(asked)) is not None:
        with contextlib.suppress(UnknownName):
            found = entry(asked[: quantised.start()]).name
            return f"model: {found} with variants: [{quantised.lastgroup}]"
    return "a name that `eke models list` shows, or the path of a config.json"


def architecture(name: str | Path) -> Architecture:
    """The architecture of a catalogue name, of a `config.json`, or of a folder that holds one.

    Raises:
        UnknownName: no such name, and no such file.
        InputError: the file is no readable configuration.
    """
    path = Path(name).expanduser()
    if path.is_dir() or path.suffix == ".json":
        return from_file(path)
    return _parsed(entry(str(name)).name)


def from_file(path: Path) -> Architecture:
    """The architecture a `config.json` describes; `hf_quant_config.json` beside it says its precision.

    Raises:
        InputError: not there, not JSON, or a key is missing.
    """
    file = path / "config.json" if path.is_dir() else path
    config = _read_json(file)
    beside = file.parent / "hf_quant_config.json"
    if isinstance(config, dict) and "quantization_config" not in config and beside.is_file():
        quantised = _read_json(beside)
        config["quantization_config"] = quantised.get("quantization") if isinstance(quantised, dict) else None
    return parse(config, file.parent.name if file.name == "config.json" else file.stem)


def _read_json(file: Path) -> Any:
    try:
        return json.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(
            f"{file}: cannot be read as a config.json", why=str(error), remedy="give the path to a model's config.json"
        ) from error


@cache
def _parsed(name: str) -> Architecture:
    return parse(dict(entry(name).config), name)


@cache
def _known() -> dict[str, Entry]:
    known: dict[str, Entry] = {}
    for e in entries():
        for name in (e.name, *e.aliases, *([e.hub.rsplit("/", 1)[-1]] if e.hub else [])):
            known.setdefault(_plain(name), e)
    return known


def _plain(name: str) -> str:
    """`Llama-3.1-8B`, `llama3.1_8b` and `LLAMA 3.1 8B` are one name."""
    return "".join(c for c in name.casefold() if c not in "-_ ")


def _entry(row: Mapping[str, Any], by_name: Mapping[str, Mapping[str, Any]]) -> Entry:
    p = row.get("published")
    return Entry(
        name=row["name"],
        hub=row.get("hub"),
        aliases=tuple(row.get("aliases", ())),
        config=_config(row, by_name),
        source=row["source"],
        published=Published(
            total=units.read("tokens", p["total"]),
            active=units.read("tokens", p["active"]) if "active" in p else None,
            counts=p.get("counts", "head"),
            source=p["source"],
            to=units.read("tokens", p.get("to", 0.0)),
        )
        if p
        else None,
        note=row.get("note", ""),
    )


def _config(row: Mapping[str, Any], by_name: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Keys of `row` on top of those of the entry it is `like`."""
    below = _config(by_name[row["like"]], by_name) if "like" in row else {}
    return {**below, **row.get("config", {})}
