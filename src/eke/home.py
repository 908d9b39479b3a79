"""Where Eke keeps things on this machine: models, calibration profiles, runs.

One folder, `~/.eke` or `$EKE_HOME`:

    models/                   weights, complete and checked, or `.part` files on their way
    profiles/<chip>.yaml      what `eke calibrate` measured here
    run/<name>/               one running plan: plan.json, eke.db, logs/, train/
"""

from __future__ import annotations

import os
from pathlib import Path


def home() -> Path:
    """`$EKE_HOME`, or `~/.eke`."""
    return Path(os.environ.get("EKE_HOME") or Path.home() / ".eke").expanduser()


def models() -> Path:
    """Downloaded weights: `$EKE_MODELS`, or `models` below home."""
    return Path(os.environ.get("EKE_MODELS") or home() / "models").expanduser()


def profiles() -> Path:
    """Calibration profiles measured on this machine."""
    return home() / "profiles"


def run(name: str) -> Path:
    """State of one running plan."""
    return home() / "run" / name
