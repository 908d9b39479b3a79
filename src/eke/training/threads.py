"""CPU threads that keep out of others' way. Knows no torch; the environment must be set before torch is loaded."""

from __future__ import annotations

import os

# A thread that waits for the others sleeps. By default it spins, and on cores shared with others that costs most of the
# speed: two threads beside other work made 1,663 and 3,413 tokens/s asleep, 796 and 807 spinning (two runs each).
ENVIRONMENT = {"OMP_WAIT_POLICY": "PASSIVE"}


def wait_asleep() -> None:
    """Make OpenMP threads sleep while they wait, unless the user said otherwise."""
    for key, value in ENVIRONMENT.items():
        os.environ.setdefault(key, value)


def usable(wanted: int) -> int:
    """At most `wanted`, and at most the cores this process may run on."""
    return max(1, min(wanted, len(os.sched_getaffinity(0))))
