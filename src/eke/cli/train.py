"""`eke train`: train a small model on a text file in the foreground, see how far it is, hear it speak."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from eke import home, units
from eke.cli.output import Format, Output, show, talk
from eke.errors import NotInstalled

if TYPE_CHECKING:
    from eke.training.job import Job
    from eke.training.metrics import Step

app = typer.Typer(help="Train a small model on a text file, on this machine.", no_args_is_help=True)

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the training (it holds job.json).")]


def _torch() -> None:
    if find_spec("torch") is None:
        raise NotInstalled("training", "train")


@app.command()
def run(
    text: Annotated[
        Path | None, typer.Option(help="Text file to learn. Default: Shakespeare, which ships along.")
    ] = None,
    tokens: Annotated[str, typer.Option(help="Tokens (bytes) to train on, all epochs together.")] = "2M",
    model: Annotated[str, typer.Option(help="'tiny', or the path of a config.json like it.")] = "tiny",
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads. Default: every core.")] = None,
    folder: Annotated[
        Path | None, typer.Option("--dir", help="Where it lives. Default: ~/.eke/train/<name of the text>.")
    ] = None,
) -> None:
    """Train until done; Ctrl-C saves and stops. The same command goes on where it stopped."""
    _torch()
    from eke.training import job as jobs
    from eke.training import shape
    from eke.training.corpus import DEFAULT
    from eke.training.signals import asked
    from eke.training.threads import usable, wait_asleep

    sequence = min(jobs.DEFAULT_SEQUENCE, shape.read(model).max_position_embeddings)
    job = jobs.make(
        model,
        tokens=round(units.read("tokens", tokens, "--tokens")),
        sequence=sequence,
        global_batch=jobs.DEFAULT_GLOBAL_BATCH // sequence * sequence,
        threads=usable(threads or sys.maxsize),
        corpus=text,
    )
    folder = folder or home.home() / "train" / (text or DEFAULT).stem
    jobs.settle(folder, job)
    talk.print(
        f"training [bold]{model}[/], {units.show_count(job.model.parameters)} parameters, on {Path(job.corpus).name} "
        f"with {job.threads} threads in {folder}",
        soft_wrap=True,
    )
    wait_asleep()
    with asked() as stop:
        from eke.training import loop

        with _bar(job) as on_step:
            done = loop.train(folder, on_step=on_step, stop=stop)
    if not done:
        talk.print("saved; the same command goes on from here", soft_wrap=True)
        raise typer.Exit(128 + (stop.signal or 0))
    talk.print(f"done. Hear it: eke train sample {folder}", soft_wrap=True)


@app.command()
def status(folder: Folder, output: Output = Format.table) -> None:
    """How far a training is, and its loss."""
    from eke.training import progress

    now = progress.read(folder)
    document = {"format": "eke.training/1", **asdict(now)}
    row = {key: value for key, value in document.items() if key not in ("format", "history")}
    document["history"] = [asdict(point) for point in now.history]
    if output is not Format.table:
        show(document, [row], output)
        return
    said = {
        "model": now.model,
        "state": now.state,
        "step": f"{now.step} of {now.steps}",
        "tokens": f"{units.show_count(now.tokens)} of {units.show_count(now.total_tokens)}",
        "loss": _nats(now.loss),
        "validation": _nats(now.validation_loss),
        "tokens/s": units.show_count(now.tokens_per_s) if now.tokens_per_s else "–",
        "left": units.show_seconds(now.eta_s) if now.eta_s is not None else "–",
    }
    show(document, [said], output)


@app.command()
def sample(
    folder: Folder,
    prompt: Annotated[str, typer.Option(help="How the text begins.")] = "\n",
    length: Annotated[int, typer.Option(min=1, help="Bytes to write.")] = 300,
    temperature: Annotated[float, typer.Option(min=0.0, help="0 always takes the likeliest.")] = 0.8,
    seed: Annotated[int, typer.Option(help="Another seed, another text.")] = 1,
) -> None:
    """Let the newest checkpoint write."""
    _torch()
    from eke.training import sample as sampling

    model = sampling.load(folder)
    said = sampling.sample(model, prompt, length=length, temperature=temperature, seed=seed)
    for piece in chain((prompt,), said, ("\n",)):
        sys.stdout.write(piece)
        sys.stdout.flush()


def _nats(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


@contextmanager
def _bar(job: Job) -> Iterator[Callable[[Step], None]]:
    """A live bar on a terminal, silence elsewhere."""
    bar = Progress(
        TextColumn("step {task.completed:.0f} of {task.total:.0f}"),
        BarColumn(),
        TextColumn("loss {task.fields[loss]}  held out {task.fields[validation]}  {task.fields[rate]} tok/s"),
        TimeRemainingColumn(),
        console=talk,
        disable=not talk.is_terminal,
    )
    task = bar.add_task("", total=job.steps, loss="–", validation="–", rate="–")

    def on_step(step: Step) -> None:
        bar.update(
            task,
            completed=step.step,
            loss=_nats(step.loss),
            rate=units.show_count(job.global_batch / step.seconds),
        )
        if step.validation_loss is not None:
            bar.update(task, validation=_nats(step.validation_loss))

    with bar:
        yield on_step
