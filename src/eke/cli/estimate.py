"""`eke estimate`: how fast one model runs on one kind of chip, in how much memory, and where the time goes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from eke import units
from eke.cli.output import Format, rows_table, show

if TYPE_CHECKING:
    from eke.cost.estimate import Estimate
    from eke.fleet.chip import Chip
    from eke.models.architecture import Architecture
    from eke.models.variant import Variant

_Degree = typer.Option(min=1)


def estimate(
    model: Annotated[str, typer.Argument(help="A catalogue name, or the path of a Hugging Face config.json.")],
    chip: Annotated[str, typer.Option(help="A catalogue name, or `here` for this machine.")],
    variant: Annotated[str | None, typer.Option(help="Precision; default: as published.")] = None,
    engine: Annotated[str | None, typer.Option(help="Engine family; default: vllm, on a CPU llamacpp.")] = None,
    tp: Annotated[int, _Degree] = 1,
    pp: Annotated[int, _Degree] = 1,
    dp: Annotated[int, _Degree] = 1,
    ep: Annotated[int, _Degree] = 1,
    batch: Annotated[int, typer.Option(min=1, help="Requests in flight over all data ranks.")] = 1,
    prompt: Annotated[int, typer.Option(min=1, help="Tokens read a request.")] = 1024,
    output_tokens: Annotated[int, typer.Option("--output-tokens", "--output", min=1, help="Tokens written.")] = 128,
    train: Annotated[bool, typer.Option("--train", help="An optimizer step instead of a request.")] = False,
    sequence: Annotated[int, typer.Option(min=1, help="Tokens of a training sequence.")] = 4096,
    global_batch: Annotated[str, typer.Option(help="Tokens of an optimizer step, such as 4M.")] = "4M",
    micro_batch: Annotated[int, typer.Option(min=1, help="Sequences a data rank takes at a time.")] = 1,
    output: Annotated[Format, typer.Option("-o", help="How to print.")] = Format.table,
) -> None:
    """Time, memory and MFU of one layout, by operator, with what each prediction rests on."""
    from eke.cost import Layouts
    from eke.cost import estimate as estimates
    from eke.models import catalogue

    architecture = catalogue.architecture(model)
    on = chip_of(chip)
    form = variant_of(architecture, variant)
    layouts = Layouts.of(tp, pp, ep, dp)
    if train:
        found = estimates.training(
            architecture, on, layouts,
            micro_batch=micro_batch, sequence=sequence,
            global_batch_tokens=units.read("tokens", global_batch, "--global-batch"),
            precision=form.compute, engine=engine or ("torch" if on.kind == "cpu" else "megatron"),
        )  # fmt: skip
    else:
        found = estimates.serving(
            architecture, on, form, layouts, batch=batch, prompt=prompt, output=output_tokens,
            engine=engine or ("llamacpp" if on.kind == "cpu" else "vllm"),
        )  # fmt: skip
    document = found.document() | {"model": architecture.name, "chip": on.name, "variant": form.name}
    for key in ("tokens_per_s", "mfu"):
        document["interval"][key] = [document[key] / f for f in reversed(found.interval)]
    rows = _rows(found)
    show(document, rows, output, rows_table(_summary(found)), rows_table(rows))


def chip_of(name: str) -> Chip:
    """A chip of the catalogue or of this machine; of a CPU, one core (--tp takes several)."""
    from eke.cost import calibrate
    from eke.fleet import catalogue, detect

    on = detect.fleet().pools[0].chip if name == "here" else catalogue.chip(name)
    return calibrate.ensure(on).core() if on.kind == "cpu" else on


def variant_of(architecture: Architecture, name: str | None) -> Variant:
    """The named form of a model; by default the one it was published in."""
    from eke.errors import UnknownName
    from eke.models.variant import variants

    known = variants(architecture)
    if name is None:
        native = architecture.native_precision
        return known.get(native) or known.get("bf16") or next(iter(known.values()))
    if name not in known:
        raise UnknownName(f"variant of {architecture.name}", name, known)
    return known[name]


def _summary(found: Estimate) -> list[dict[str, Any]]:
    between = (found.tpot_s or 0.0) - found.step_s
    times = {
        "time to first token": (found.ttft_s, found.first_interval),
        "time per output token": (found.tpot_s, found.interval),
        "- its decode step" if found.tpot_s else "step": (found.step_s, found.interval),
        "- others' prompts, read in between": (between if between > 0 else None, found.interval),
    }
    rows = [
        {
            "": name,
            "value": units.show_seconds(s),
            "80% interval": " to ".join(map(units.show_seconds, (s * low, s * high))),
        }
        for name, (s, (low, high)) in times.items()
        if s is not None
    ]
    chips = f"{found.chips} chip{'s' if found.chips > 1 else ''}"
    low, high = (f"{found.tokens_per_s / f:,.0f}" for f in reversed(found.interval))
    rows.append({"": "tokens/s", "value": f"{found.tokens_per_s:,.0f} on {chips}", "80% interval": f"{low} to {high}"})
    low, high = (units.show_fraction(found.mfu / f) for f in reversed(found.interval))
    rows.append({"": "MFU", "value": units.show_fraction(found.mfu), "80% interval": f"{low} to {high}"})
    for part, size in found.memory.items():
        if size:
            rows.append({"": f"memory: {part}", "value": units.show_bytes(size), "80% interval": ""})
    limit = units.show_bytes(found.memory_limit)
    total = units.show_bytes(sum(found.memory.values()))
    rows.append({"": "memory a chip", "value": f"{total} of {limit}", "80% interval": ""})
    if found.recomputed:
        rows.append({"": "layers computed twice", "value": units.show_fraction(found.recomputed), "80% interval": ""})
    rows.append({"": "basis", "value": found.basis, "80% interval": found.source})
    return rows


def _rows(found: Estimate) -> list[dict[str, Any]]:
    totals: dict[str, float] = {}
    for o in found.operators:
        totals[o.phase] = totals.get(o.phase, 0.0) + o.seconds
    return [
        {
            "phase": o.phase, "operator": o.name, "seconds": units.show_seconds(o.seconds),
            "share": units.show_fraction(o.seconds / totals[o.phase]), "bound": o.bound,
        }
        for o in found.operators
    ]  # fmt: skip
