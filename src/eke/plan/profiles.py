"""Shapes of a day: how a workload's rate moves over 24 hours, as multiples of its peak. It knows no clock and no
workload.

flat           the same rate all day
evening-peak   consumer chat: mean of each hour over 14 days of ServeGen's `language/m-small` (Alibaba, 2025), peak 1
office-day     guessed: people who type between nine and six, with lunch; nobody published such a day
"""

from __future__ import annotations

from collections.abc import Sequence

from eke.errors import InputError, UnknownName

HOURS: dict[str, tuple[float, ...]] = {
    "flat": (1.0,) * 24,
    "evening-peak": (
        0.58, 0.49, 0.50, 0.46, 0.49, 0.45, 0.47, 0.59, 0.70, 0.72, 0.77, 0.75,
        0.73, 0.74, 0.73, 0.72, 0.75, 0.74, 0.69, 0.84, 1.00, 0.96, 0.87, 0.73,
    ),
    "office-day": (
        0.08, 0.05, 0.05, 0.05, 0.05, 0.06, 0.10, 0.25, 0.55, 0.90, 1.00, 0.98,
        0.75, 0.80, 0.98, 1.00, 0.95, 0.85, 0.60, 0.40, 0.30, 0.25, 0.18, 0.12,
    ),
}  # fmt: skip

SLOTS = (1, 2, 3, 4, 6, 8, 12, 24)


def multipliers(profile: str | Sequence[float], slots: int) -> tuple[float, ...]:
    """What the rate is multiplied with in each of `slots` equal parts of a day.

    A slot of several hours takes the highest of them: a promise holds in its worst hour.

    Raises:
        UnknownName: no such profile.
        InputError: a list that has not one number, at least 0, for each slot.
    """
    if not isinstance(profile, str):
        if len(profile) != slots or min(profile) < 0:
            raise InputError(
                f"a profile of {len(profile)} numbers (lowest {min(profile, default=0):g}) for {slots} slots",
                why="a list needs one number, at least 0, for each slot",
                remedy=f"profile: [{', '.join(['1'] * slots)}]",
            )
        return tuple(float(v) for v in profile)
    if profile not in HOURS:
        raise UnknownName("profile", profile, HOURS)
    hours, width = HOURS[profile], 24 // slots
    return tuple(max(hours[i * width : (i + 1) * width]) for i in range(slots))
