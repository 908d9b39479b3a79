"""`python -m eke.training FOLDER`: train the job in FOLDER as a process of its own.

Exit 0: done. Exit 75: asked to stop, saved, to be continued. Anything else: a fault, said on stderr.
"""

from __future__ import annotations

import logging
import sys
import time
from importlib.util import find_spec
from pathlib import Path

from eke.errors import EkeError, InputError, NotInstalled
from eke.training import job as jobs
from eke.training.metrics import Step
from eke.training.signals import asked
from eke.training.threads import wait_asleep
from eke.units import show_count, show_seconds

TO_BE_CONTINUED = 75
REPORT_EVERY_S = 5.0
log = logging.getLogger("eke.training")


class Reporter:
    """A line of progress every few seconds."""

    def __init__(self, job: jobs.Job) -> None:
        self.job, self.said_at, self.tokens, self.seconds = job, 0.0, 0, 0.0

    def __call__(self, step: Step) -> None:
        """Hear of a step; speak if it is time."""
        self.tokens += self.job.global_batch
        self.seconds += step.seconds
        now = time.monotonic()
        if now - self.said_at < REPORT_EVERY_S and step.step < self.job.steps:
            return
        rate = self.tokens / self.seconds
        left = (self.job.steps - step.step) * self.job.global_batch / rate
        log.info(
            "step %d of %d  tokens %s  loss %.4f  %s tok/s  eta %s",
            step.step, self.job.steps, show_count(step.tokens), step.loss, show_count(rate), show_seconds(left),
        )  # fmt: skip
        self.said_at, self.tokens, self.seconds = now, 0, 0.0


def work(folder: Path) -> int:
    """Train; the exit status."""
    with asked() as stop:
        if find_spec("torch") is None:
            raise NotInstalled("training", "train")
        reporter = Reporter(jobs.read(folder))
        wait_asleep()
        from eke.training import loop

        done = loop.train(folder, on_step=reporter, stop=stop)
    return 0 if done else TO_BE_CONTINUED


def main(arguments: list[str]) -> int:
    """Run the command line; errors become a message and an exit status."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    try:
        if len(arguments) != 1:
            raise InputError("usage: python -m eke.training FOLDER")
        return work(Path(arguments[0]))
    except EkeError as error:
        log.error("%s", error)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
