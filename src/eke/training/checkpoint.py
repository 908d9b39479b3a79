"""Checkpoints: whole or absent, checked, the newest good one first. Knows files, not what the tensors mean.

A file is called `step-00000120-9f86d081884c7d65.pt`: the step, and the beginning of the SHA-256 of its bytes. It is an
ordinary `torch.load` file. It is written beside, flushed and renamed, so a sudden end leaves the one before; bytes gone
bad on the disk no longer match the name, are set aside as `.damaged`, and the one before is used.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from eke.errors import EkeError
from eke.training import atomic

FOLDER = "checkpoints"
FORMAT = "eke.checkpoint/1"
_NAME = re.compile(r"step-(\d{8,})-([0-9a-f]{16})\.pt")
log = logging.getLogger(__name__)


def save(folder: Path, step: int, state: dict[str, Any], keep: int) -> Path:
    """Write `state` as the checkpoint of `step` in `folder`, then let all but the last `keep` go.

    Raises:
        EkeError: it cannot be written; the ones before are as they were.
    """
    place = folder / FOLDER
    place.mkdir(exist_ok=True)
    unnamed = place / ("new" + atomic.SUFFIX)
    try:
        torch.save({"format": FORMAT, "step": step, **state}, unnamed)
        path = place / f"step-{step:08d}-{_digest(unnamed)}.pt"
        with atomic.replacing(path) as partial:
            unnamed.replace(partial)
    except (OSError, RuntimeError) as error:
        unnamed.unlink(missing_ok=True)
        raise EkeError(
            f"cannot write a checkpoint in {place}",
            why=str(error),
            remedy="make room on that disk; training goes on from the checkpoint before",
        ) from error
    for _, old in list(_newest_first(folder))[keep:]:
        old.unlink()
    return path


def latest(folder: Path, *, set_aside: bool = False) -> tuple[Path, dict[str, Any]] | None:
    """The newest checkpoint whose bytes are what was written, or None.

    Args:
        folder: of the training.
        set_aside: rename damaged ones, so that they no longer count; only for the holder of the lock.
    """
    for _, path in _newest_first(folder):
        try:
            return path, _load(path)
        except (OSError, ValueError, RuntimeError) as error:
            log.warning("checkpoint %s is damaged (%s); using the one before", path.name, error)
            if set_aside:
                path.replace(path.with_suffix(".damaged"))
    return None


def _load(path: Path) -> dict[str, Any]:
    match = _NAME.fullmatch(path.name)
    if match is None or _digest(path) != match[2]:
        raise ValueError("its bytes are not those that were written")
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    if state.get("format") != FORMAT:
        raise ValueError(f"format {state.get('format')!r} is not {FORMAT!r}")
    return state


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def _newest_first(folder: Path) -> Iterator[tuple[int, Path]]:
    found = ((int(m[1]), p) for p in (folder / FOLDER).glob("step-*.pt") if (m := _NAME.fullmatch(p.name)))
    return iter(sorted(found, reverse=True))
