"""Coefficients under fit: named numbers of a `Profile` or a `Trainer`, moved by factors. Knows no measurement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np

from eke.cost.profile import Profile
from eke.cost.tables import FloatArray
from eke.cost.trainers import Trainer

Efficiencies = TypeVar("Efficiencies", bound=Profile | Trainer)


@dataclass(frozen=True, slots=True)
class Coefficient:
    """A field of the efficiencies; of a table one `entry`, or all of them alike. `most` is what it can be."""

    name: str
    entry: str | None = None
    most: float = np.inf


def moved(base: Efficiencies, wanted: Sequence[Coefficient], x: FloatArray) -> Efficiencies:
    """`base` with each coefficient times exp(x). [k]"""
    changed: dict[str, Any] = {}
    for coefficient, factor in zip(wanted, np.exp(x), strict=True):
        name, entry, most = coefficient.name, coefficient.entry, coefficient.most
        was = changed.get(name, getattr(base, name))
        if was is None:  # two chips of a domain get as much of the link as more do
            was = getattr(base, "link_up")  # noqa: B009
        if isinstance(was, Mapping):
            entries = [entry] if entry else list(was)
            changed[name] = {**was, **{e: min(_entry(base, was, e) * float(factor), most) for e in entries}}
        else:
            changed[name] = min(was * float(factor), most)
    return replace(base, **changed)


def _entry(base: Profile | Trainer, table: Mapping[str, float], entry: str) -> float:
    return table.get(entry, base.gemm_other)


def values(found: Profile | Trainer, wanted: Sequence[Coefficient]) -> dict[str, Any]:
    """What `wanted` are in `found`, to three digits."""
    told: dict[str, Any] = {}
    for coefficient in wanted:
        value = getattr(found, coefficient.name)
        if isinstance(value, Mapping):
            entries = [coefficient.entry] if coefficient.entry else value
            told.setdefault(coefficient.name, {}).update({e: rounded(value[e]) for e in entries})
        else:
            told[coefficient.name] = rounded(value)
    return told


def rounded(value: float) -> float:
    """To three digits: no measurement here is better."""
    return float(f"{value:.3g}")
