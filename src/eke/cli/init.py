"""`eke init`: a first scenario, from what is known and a few questions."""

from __future__ import annotations

import json
import re
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from eke.cli.output import talk

if TYPE_CHECKING:
    from collections.abc import Callable

    from eke.fleet.detect.base import Device
    from eke.fleet.pool import Fleet
    from eke.plan.draft import Serving, Training
    from eke.plan.metrics import Served

T = TypeVar("T")
TYPED = re.compile(r"(?P<chip>.+?)\s+(?P<nodes>\d+)\s*[x*]\s*(?P<each>\d+)")
WAIT_S = 10.0
SMALL = 2**30
"""Bytes of memory that no GPU has as little as."""


def init(
    save: Annotated[Path, typer.Argument(help="Where the scenario goes.")] = Path("scenario.yaml"),
    nodes: Annotated[Path | None, typer.Option(help="A CSV of nodes, as `eke fleet import` reads it.")] = None,
    nvidia_smi: Annotated[
        Path | None, typer.Option(help="What `nvidia-smi -L` (or --query-gpu, or -q -x) printed on one of the nodes.")
    ] = None,
    count: Annotated[int, typer.Option(min=1, help="With --nvidia-smi: how many such nodes.")] = 1,
    metrics: Annotated[
        list[str] | None,
        typer.Option(help="Metrics of a running vLLM: http://SERVER:8000/metrics, or a file of them; may be repeated."),
    ] = None,
    name: Annotated[str, typer.Option(help="Of the scenario.")] = "my-fleet",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing; examples stand for the unknown.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Write over a file that is there.")] = False,
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON Schema of scenarios instead.")] = False,
) -> None:
    """Write a first scenario with comments: what you own, what you owe. Asks a few questions, or reads what you have.

    On a terminal it asks; else, or with --yes, examples stand where nothing is known, marked `change me`.
    """
    if schema:
        from eke.plan.schema import schema as of_scenarios

        print(json.dumps(of_scenarios(), indent=2))  # noqa: T201
        return
    from eke.errors import InputError
    from eke.plan import draft, parse

    if save.exists() and not force:
        raise InputError(f"{save} is there already", remedy=f"eke init OTHER.yaml, or --force to write over {save}")
    asks = talk.is_terminal and not yes
    fleet = _fleet(nodes, nvidia_smi, count, asks=asks)
    serving = [draft.observed(one) for source in metrics or () for one in _served(source)]
    training: list[Training] = []
    if asks:
        serving = serving or [_ask_serving()]
        training = _ask_training()
    text = draft.text(name, fleet, serving or [draft.example()], training)
    parse(text, save)
    part = save.with_name(f".{save.name}.part")
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(save)
    except OSError as error:
        raise InputError(
            f"{save} cannot be written", why=error.strerror or "", remedy="choose another place"
        ) from error
    todo = text.count(draft.CHANGE)
    say = f"; {todo} line{'s say' if todo > 1 else ' says'} `{draft.CHANGE}`" if todo else ""
    if fleet is None:
        say += ", what you own too: no accelerator is in this machine"
    talk.print(f"wrote {save}{say}. Next: eke plan {save}", soft_wrap=True)


def _fleet(nodes: Path | None, printed: Path | None, count: int, *, asks: bool) -> Fleet | None:
    """What is owned; None: nobody says, and this machine has no accelerator."""
    from eke.errors import InputError
    from eke.fleet import detect
    from eke.fleet import nodes as listing

    if nodes is not None and printed is not None:
        raise InputError("--nodes and --nvidia-smi both say what you own", remedy="give one of them")
    if nodes is not None:
        done = listing.read(_text(nodes), {}, {})
        for note in done.notes:
            talk.print(f"note: {note}", soft_wrap=True)
        return done.fleet
    if printed is not None:
        return _printed(printed, count)
    if asks:
        talk.print("What do you own? A chip, nodes x chips a node, on a line: H20-96 24 x 8. An empty line ends it;")
        talk.print("at once: this machine.")
        return _typed() or detect.fleet()
    here = detect.fleet()
    return None if all(p.chip.kind == "cpu" for p in here.pools) else here


def _typed() -> Fleet | None:
    from eke.errors import EkeError
    from eke.fleet import catalogue
    from eke.fleet.pool import Fleet, Pool

    pools: list[Pool] = []
    while line := typer.prompt(f"pool {len(pools) + 1}", default="", show_default=False, err=True).strip():
        match = TYPED.fullmatch(line)
        try:
            if match is None:
                talk.print("  a line looks like: H20-96 24 x 8")
                continue
            chip = catalogue.chip(match["chip"])
        except EkeError as error:
            talk.print(f"  {error}".replace("\n", "\n  "))
            continue
        name = chip.name.lower()
        if any(p.name == name for p in pools):
            name = f"{name}-{len(pools) + 1}"
        pools.append(Pool(name, chip, int(match["nodes"]), int(match["each"]), chip.scale_out))
    return Fleet(tuple(pools)) if pools else None


def _devices(text: str, file: Path) -> list[Device]:
    """What nvidia-smi printed, device by device."""
    from xml.etree import ElementTree

    from eke.errors import InputError
    from eke.fleet.detect import nvidia

    try:
        found = nvidia.parse(text)
    except (ElementTree.ParseError, ValueError):
        found = []
    if not found or not any("nvidia" in d.name.casefold() or d.uuid or (d.memory_bytes or 0) > SMALL for d in found):
        raise InputError(
            f"{file} is not what nvidia-smi prints",
            why=f"it begins {text.strip()[:40]!r}" if text.strip() else "it is empty",
            remedy="nvidia-smi -L > gpus.txt",
        )
    return found


def _printed(file: Path, count: int) -> Fleet:
    from collections import Counter

    from eke.fleet.identify import chip_of
    from eke.fleet.pool import Fleet, Pool

    text = _text(file)
    chips = [chip_of(device)[0] for device in _devices(text, file)]
    kinds = {c.name: c for c in chips}
    return Fleet(
        tuple(
            Pool(name.lower(), kinds[name], count, n, kinds[name].scale_out)
            for name, n in Counter(c.name for c in chips).items()
        )
    )


def _served(source: str) -> list[Served]:
    from eke.errors import InputError
    from eke.plan import metrics

    if not source.startswith(("http://", "https://")):
        file = Path(source)
        text = _text(file)
        return metrics.read(text, file.stat().st_mtime)
    try:
        with urllib.request.urlopen(source, timeout=WAIT_S) as answer:
            return metrics.read(answer.read().decode(), time.time())
    except (urllib.error.URLError, TimeoutError, UnicodeDecodeError) as error:
        raise InputError(f"{source} gives no metrics", why=str(error), remedy="http://SERVER:8000/metrics") from error


def _text(file: Path) -> str:
    from eke.errors import InputError

    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise InputError(f"{file} cannot be read", why=why, remedy="give the path of a text file in UTF-8") from error


def _ask_serving() -> Serving:
    from dataclasses import replace

    from eke import units
    from eke.plan import draft

    first = draft.example()
    model = _model("Which model answers?", first.model)
    rate = _asked("Requests per second at the busiest", "10/s", lambda text: units.read("per_s", text, "rate"))
    ttft = typer.prompt("First token within", default="2 s", err=True)
    tpot = typer.prompt("Each further token within", default="60 ms", err=True)
    notes = {"lengths": first.notes["lengths"]}
    return replace(first, model=model, rate_per_s=rate, ttft=ttft, tpot=tpot, notes=notes)


def _ask_training() -> list[Training]:
    from eke import units
    from eke.plan.draft import Training

    if not typer.confirm("Is a model to be trained?", default=False, err=True):
        return []
    model = _model("Of which shape?", "Qwen3-8B")
    tokens = typer.prompt("On how many tokens", default="1T", err=True)
    units.read("tokens", tokens, "tokens")
    deadline = typer.prompt("Within (empty: whenever)", default="", show_default=False, err=True).strip()
    return [Training("next", model, tokens, deadline or None)]


def _model(question: str, default: str) -> str:
    from eke.models import catalogue

    def known(text: str) -> str:
        catalogue.architecture(text)
        return text

    return _asked(question, default, known)


def _asked(question: str, default: str, read: Callable[[str], T]) -> T:
    """An answer that `read` takes; asked again until it does."""
    from eke.errors import EkeError

    while True:
        try:
            return read(typer.prompt(question, default=default, err=True))
        except EkeError as error:
            talk.print(f"  {error}".replace("\n", "\n  "))
