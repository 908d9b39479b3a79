"""`eke doctor`: what it finds is what is there."""

from __future__ import annotations

from pathlib import Path

import pytest

from eke.cli import doctor
from eke.cost import calibration
from eke.cost.calibration import Calibration
from eke.fleet import catalogue, detect
from eke.fleet.pool import Fleet, Pool


def test_a_calibrated_accelerator_is_found_by_its_name(eke_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An accelerator never measured is named with the command that measures it; once measured, it is not."""
    chip = catalogue.chip("H20-96")
    monkeypatch.setattr(detect, "fleet", lambda: Fleet((Pool("here", chip, 1, 8, chip.scale_out, 1.0, 0),), ()))
    before = doctor._calibration()
    assert before.state == "missing"
    assert "H20-96" in before.found
    assert before.remedy == "eke calibrate"
    calibration.save(Calibration("H20-96"))
    assert doctor._calibration().state == "ok"
