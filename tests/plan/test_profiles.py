"""Shapes of a day."""

from __future__ import annotations

import pytest

from eke.errors import InputError, UnknownName
from eke.plan import profiles


@pytest.mark.parametrize("name", list(profiles.HOURS))
def test_peaks_at_one(name: str) -> None:
    """Every shape has 24 hours and a peak of 1, and none is above its peak."""
    hours = profiles.HOURS[name]
    assert (len(hours), max(hours)) == (24, 1.0)
    assert min(hours) > 0


@pytest.mark.parametrize("slots", profiles.SLOTS)
def test_a_slot_takes_its_worst_hour(slots: int) -> None:
    """A promise holds in every hour: a longer slot has the highest of its hours."""
    hours, width = profiles.HOURS["office-day"], 24 // slots
    made = profiles.multipliers("office-day", slots)
    assert made == tuple(max(hours[i : i + width]) for i in range(0, 24, width))


def test_a_list_needs_one_number_a_slot() -> None:
    """A list of another length, or with a negative number, is refused; a good one is taken as it is."""
    assert profiles.multipliers([0, 2, 0.5, 1], 4) == (0.0, 2.0, 0.5, 1.0)
    for wrong in ([1, 1], [1, 1, 1, -1], []):
        with pytest.raises(InputError):
            profiles.multipliers(wrong, 4)
    with pytest.raises(UnknownName, match="offise-day"):
        profiles.multipliers("offise-day", 4)
