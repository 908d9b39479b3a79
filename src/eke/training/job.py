"""A training job as `job.json` says it: which model, which text, how long, in what steps. Knows no torch.

What made the weights what they are (model, text, sequence, batch, seed) cannot change under a job that has begun;
how it is run (threads, micro-batch, how often it is saved, how long it goes on) can.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from eke.errors import InputError
from eke.training import atomic, shape, text
from eke.training.corpus import DEFAULT
from eke.training.shape import Shape

FILE = "job.json"
FIXED = ("model", "corpus_sha256", "sequence", "global_batch", "seed")
DEFAULT_SEQUENCE = 256
DEFAULT_GLOBAL_BATCH = 16_384


@dataclass(frozen=True, slots=True)
class Job:
    """One training job.

    Attributes:
        name: of the model, for people.
        corpus, corpus_sha256: the text file, and what its bytes were when the job began.
        tokens: to train on, all epochs together. A token is a byte.
        global_batch: tokens a step.
        micro_batch: sequences computed at once; gradients of several add up to a step.
        threads: CPU threads, never more than the cores this process may use.
        learning_rate: at its highest, after the first `warmup` share of steps; then a cosine brings it down to
            `final_rate` of that.
        precision: of matrix products; `auto` is bf16 where the CPU has instructions for it. Weights are fp32.
        checkpoint_every_s, checkpoint_every_steps: whichever comes first; the last `keep` stay.
    """

    name: str
    model: Shape
    corpus: str
    corpus_sha256: str
    tokens: int
    sequence: int = DEFAULT_SEQUENCE
    global_batch: int = DEFAULT_GLOBAL_BATCH
    micro_batch: int = 16
    threads: int = 1
    seed: int = 1
    learning_rate: float = 2e-3
    warmup: float = 0.03
    final_rate: float = 0.1
    weight_decay: float = 0.1
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    checkpoint_every_s: float = 60.0
    checkpoint_every_steps: int = 1000
    evaluate_every_steps: int = 25
    keep: int = 2

    @property
    def steps(self) -> int:
        """Optimizer steps until `tokens` are seen."""
        return -(-self.tokens // self.global_batch)

    @property
    def sequences(self) -> int:
        """Sequences a step."""
        return self.global_batch // self.sequence


_JOB: TypeAdapter[Job] = TypeAdapter(Job)


def make(
    model: str,
    *,
    tokens: int,
    sequence: int = DEFAULT_SEQUENCE,
    global_batch: int = DEFAULT_GLOBAL_BATCH,
    threads: int = 1,
    corpus: Path | None = None,
) -> Job:
    """A job for a model by name or config path, on the user's text or the one that ships along.

    Raises:
        InputError: the sizes do not go together, or the text cannot be read.
    """
    path = (corpus or DEFAULT).expanduser().absolute()
    job = Job(
        name=model,
        model=shape.read(model),
        corpus=str(path),
        corpus_sha256=text.digest(path),
        tokens=tokens,
        sequence=sequence,
        global_batch=global_batch,
        threads=threads,
    )
    check(job)
    return job


def check(job: Job) -> None:
    """Refuse sizes that do not go together.

    Raises:
        InputError: says which.
    """
    for key in ("tokens", "sequence", "global_batch", "micro_batch", "threads"):
        if (value := getattr(job, key)) < 1:
            raise InputError(f"{key} is {value}; it must be at least 1")
    if job.sequence > (most := job.model.max_position_embeddings):
        raise InputError(f"sequence is {job.sequence}; {job.name} sees at most {most}", remedy=f"sequence: {most}")
    if job.global_batch % job.sequence:
        down = job.global_batch // job.sequence * job.sequence or job.sequence
        raise InputError(
            f"global_batch of {job.global_batch} tokens is no multiple of the sequence, {job.sequence}",
            remedy=f"global_batch: {down}",
        )
    text.load(Path(job.corpus), job.sequence)


def read(folder: Path) -> Job:
    """The job in `folder`.

    Raises:
        InputError: there is none, or it cannot be understood.
    """
    path = folder / FILE
    try:
        return _JOB.validate_json(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"{folder} holds no training job ({FILE})", remedy="eke train run --dir DIR") from None
    except ValidationError as error:
        first = error.errors()[0]
        raise InputError(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error


def settle(folder: Path, job: Job) -> Job:
    """Make `job` the job of `folder`, where none has begun or one that this one continues.

    Raises:
        InputError: another job lives there; says in what they differ.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / FILE).exists():
        before = read(folder)
        if before == job:
            return job
        differing = [key for key in FIXED if getattr(before, key) != getattr(job, key)]
        if differing:
            raise InputError(
                f"{folder} holds another training job: {', '.join(differing)} differ",
                why="; ".join(f"{key} was {getattr(before, key)}, is {getattr(job, key)}" for key in differing),
                remedy="train in another folder, or remove this one to begin anew",
            )
    with atomic.replacing(folder / FILE) as partial:
        partial.write_bytes(_JOB.dump_json(job, indent=2) + b"\n")
    return job
