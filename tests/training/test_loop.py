"""The training loop: it learns, and it resumes exactly."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from eke.errors import EkeError, InputError
from eke.training import checkpoint, lock, loop, metrics, text
from eke.training import job as jobs
from eke.training.corpus import DEFAULT
from eke.training.model import GPT
from eke.training.shape import Shape

Curve = Callable[[Path], list[dict[str, Any]]]


def _train(folder: Path, steps: int | None = None) -> bool:
    """Train to the end, or for `steps` steps."""
    made: list[metrics.Step] = []
    return loop.train(folder, on_step=made.append, stop=lambda: steps is not None and len(made) >= steps)


class Killed(BaseException):
    """Stands for a sudden death: nothing after it runs."""


def _train_until_killed(folder: Path, after: int) -> None:
    made = iter(range(after))

    def on_step(step: metrics.Step) -> None:
        if next(made, None) is None:
            raise Killed

    with pytest.raises(Killed):
        loop.train(folder, on_step=on_step, stop=lambda: False)


def test_it_learns_real_text(tmp_path: Path) -> None:
    """On held-out Shakespeare a small model beats the entropy of its letters: it has learnt what follows what."""
    job = jobs.Job(
        name="small", model=Shape(64, 2, 4, 256, 64), corpus=str(DEFAULT), corpus_sha256=text.digest(DEFAULT),
        tokens=80 * 1024, sequence=64, global_batch=1024, micro_batch=16, learning_rate=5e-3,
    )  # fmt: skip
    jobs.settle(tmp_path, job)
    assert _train(tmp_path)
    made = metrics.read(tmp_path)
    counts = np.bincount(np.frombuffer(DEFAULT.read_bytes(), np.uint8))
    share = counts[counts > 0] / counts.sum()
    letters = float(-(share * np.log(share)).sum())  # 3.3 nats
    assert made[-1].validation_loss is not None
    assert made[-1].validation_loss < letters - 0.5
    assert made[0].loss > made[-1].loss + 2


def test_the_same_job_makes_the_same_curve(make: Callable[..., Path], curve: Curve) -> None:
    """Two trainings of one job agree bit for bit; another seed does not."""
    one, two, other = make("one"), make("two"), make("other", seed=2)
    assert all([_train(one), _train(two), _train(other)])
    assert curve(one) == curve(two)
    assert curve(one) != curve(other)


def test_stopped_anywhere_it_goes_on_exactly(make: Callable[..., Path], curve: Curve) -> None:
    """Stopped after every single step and started again, the curve is that of one go."""
    whole, pieces = make("whole"), make("pieces")
    assert _train(whole)
    for done in range(1, 12):
        assert not _train(pieces, steps=1)
        assert len(curve(pieces)) == done
    assert _train(pieces)
    assert curve(pieces) == curve(whole)


@pytest.mark.parametrize("after", [0, 1, 3, 4, 7, 11])
def test_killed_anywhere_it_goes_on_exactly(make: Callable[..., Path], curve: Curve, after: int) -> None:
    """Killed before, at and after a checkpoint (every third step), no step is lost or stands twice."""
    whole, killed = make("whole"), make("killed")
    assert _train(whole)
    _train_until_killed(killed, after)
    assert len(curve(killed)) == after + 1
    assert _train(killed)
    assert curve(killed) == curve(whole)


def test_a_torn_checkpoint_costs_time_not_truth(make: Callable[..., Path], curve: Curve) -> None:
    """With the newest checkpoint torn, training goes on from the one before, to the same curve."""
    whole, torn = make("whole"), make("torn")
    assert _train(whole)
    assert not _train(torn, steps=8)
    newest = max((torn / checkpoint.FOLDER).glob("*.pt"))
    newest.write_bytes(newest.read_bytes()[:100])
    assert _train(torn)
    assert curve(torn) == curve(whole)


def test_gradients_add_up(shape: Shape) -> None:
    """A batch in pieces, even uneven ones, gives the loss and the gradient of the batch in one piece."""
    rows = text.batch(text.load(DEFAULT, 32).train, 32, 1, 0, 10)
    losses, gradients = [], []
    for micro_batch in (10, 4, 1):
        net = GPT(shape)
        net.initialise(1)
        losses.append(loop.accumulate(net, rows, micro_batch, "fp32"))
        gradients.append(torch.cat([w.grad.flatten() for w in net.parameters() if w.grad is not None]))
    assert losses[1:] == pytest.approx([losses[0]] * 2, rel=1e-5)
    for gradient in gradients[1:]:
        torch.testing.assert_close(gradient, gradients[0], rtol=1e-3, atol=1e-6)


def test_bf16_is_near_fp32(shape: Shape) -> None:
    """Half the bits change the loss by less than a hundredth."""
    net = GPT(shape)
    net.initialise(1)
    rows = text.batch(text.load(DEFAULT, 32).train, 32, 1, 0, 8)
    fp32, bf16 = (loop.evaluate(net, rows, 8, precision) for precision in ("fp32", "bf16"))
    assert bf16 == pytest.approx(fp32, rel=0.01)
    assert bf16 != fp32


def test_a_finished_job_stays_finished(make: Callable[..., Path], curve: Curve) -> None:
    """Started again it does nothing; given more tokens it goes on."""
    folder = make()
    assert _train(folder)
    before = curve(folder)
    assert _train(folder)
    assert curve(folder) == before
    jobs.settle(folder, replace(jobs.read(folder), tokens=14 * 128))
    assert _train(folder)
    assert [s["step"] for s in curve(folder)] == list(range(1, 15))


def test_a_changed_text_is_refused(tmp_path: Path, make: Callable[..., Path]) -> None:
    """A text edited under a job that has begun is noticed, and nothing is trained on it."""
    path = tmp_path / "mine.txt"
    path.write_bytes(b"once upon a time " * 100)
    folder = make(corpus=str(path), corpus_sha256=text.digest(path))
    assert not _train(folder, steps=1)
    path.write_bytes(b"once upon a crime" * 100)
    with pytest.raises(InputError, match=r"mine\.txt is not the text"):
        _train(folder)


def test_a_loss_that_is_no_number_ends_it(make: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """A diverged training stops at once and never becomes a checkpoint."""
    folder = make()
    monkeypatch.setattr(loop, "accumulate", lambda *_: float("nan"))
    with pytest.raises(EkeError, match="loss of step 1 is nan"):
        _train(folder)
    assert checkpoint.latest(folder) is None


def test_two_trainers_in_one_folder_are_one_too_many(
    make: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second is refused and touches nothing."""
    folder = make()
    monkeypatch.setattr(lock, "PAUSE_S", 0.0)
    with lock.held(folder), pytest.raises(EkeError, match="another process"):
        _train(folder)
    assert not (folder / metrics.FILE).exists()
