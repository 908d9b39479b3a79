"""The text to train on when the user brings none. `SOURCE.md` says where it is from and who may use it."""

from __future__ import annotations

from pathlib import Path

DEFAULT = Path(__file__).with_name("shakespeare.txt")
