"""From a user's records to the few coefficients they tell, with errors on rows the fit did not see.

Every record is priced with what is shipped and what was timed here, rows far from all others are set aside, and the
coefficients that rows are sensitive to are fitted with a pull towards where they were. Groups of like rows are left out
in turn, so that every row is predicted once by a fit that never saw its like; if that is no better, nothing is kept.
"""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any, cast

import numpy as np

from eke.cost import calibration, trainers
from eke.cost.calibrate import squares
from eke.cost.calibrate.coefficients import Coefficient, moved, rounded, values
from eke.cost.calibrate.records import Reading, Record, Rejected, Serving, Training, told
from eke.cost.calibration import Calibration, Error, Fit
from eke.cost.closed_loop import steady
from eke.cost.model import CostModel
from eke.cost.profile import EIGHTY, Profile, find
from eke.cost.tables import FloatArray, Layouts
from eke.cost.trainers import Trainer
from eke.errors import InputError
from eke.fleet.chip import Chip
from eke.models.variant import Variant

SERVING = tuple(
    Coefficient(name, most=most)
    for name, most in {
        "gemm": 1.0, "memory": 1.0, "attention": 1.0, "attention_memory": 1.0, "experts": 1.0, "kernel_s": np.inf,
        "step_s": np.inf, "sequence_s": np.inf, "link_up": 1.0, "latency_up_s": np.inf, "request_s": np.inf,
        "arrival_s": np.inf,
    }.items()
)  # fmt: skip
TRAINING = tuple(
    Coefficient(name, most=most)
    for name, most in {
        "gemm": 1.0, "attention": 1.0, "experts": 1.0, "elementwise": np.inf, "layer_s": np.inf, "link_up": 1.0,
        "link_out": 1.0, "overlap_tp": 1.0,
    }.items()
)  # fmt: skip

LEAST = 12  # records from which anything is fitted
ROWS_A_COEFFICIENT = 6
SENSITIVE = 0.03  # a coefficient that moves predictions by less than this share of its own change tells nothing
FOLDS = 4
FAR = 4.0  # deviations (robust) from the median residual: an outlier, if it is also off by a factor
FACTOR = {"TTFT": 5.0, "TPOT": 2.5, "tokens/s": 2.5}
UNIT = np.log(100.0)  # a whole column off by more than this is in another unit
LEAST_SPREAD = 0.03

Price = Callable[[Profile | Trainer, Sequence[Record]], FloatArray]  # ln(predicted / measured) [metrics, n]


@dataclass(frozen=True, slots=True)
class Subject:
    """What is fitted: coefficients `wanted` of `base`; `price` says how far `metrics` of records are from measured."""

    base: Profile | Trainer
    wanted: Sequence[Coefficient]
    price: Price
    metrics: Sequence[str]

    def away(self, x: FloatArray, records: Sequence[Record]) -> FloatArray:
        """ln(predicted / measured) with the coefficients times exp(x). [metrics, n]"""
        return self.price(moved(self.base, self.wanted, x), records)

    def residuals(self, records: Sequence[Record]) -> squares.Residuals:
        """The same as a function of x, what was not measured as 0. [metrics * n]"""
        return lambda x: np.asarray(np.nan_to_num(self.away(x, records).ravel()))

    def fit(self, records: Sequence[Record]) -> FloatArray:
        """The x that fits `records`. Rows of a group err alike: the pull gives way to groups, not to rows."""
        groups = len(_alike(records, lambda r: r.group))
        pull = squares.PULL * np.sqrt(len(records) / groups)
        return squares.fit(self.residuals(records), len(self.wanted), pull=float(pull))

    @property
    def still(self) -> FloatArray:
        """The x at which nothing has moved."""
        return np.zeros(len(self.wanted))


@dataclass(frozen=True, slots=True)
class Outcome:
    """A fit and what it means.

    Attributes:
        better: whether held-out errors are smaller than before.
        before, now: coefficients as they were and as fitted.
        used, rejected: records fitted to, and rows that were not, with reasons.
    """

    reading: Reading
    fit: Fit
    better: bool
    before: Mapping[str, Any]
    used: int
    rejected: Sequence[Rejected]

    def document(self) -> dict[str, Any]:
        """For scripts."""
        return {
            "chip": self.reading.chip.name, "kind": self.reading.kind, "engine": self.reading.engine,
            "better": self.better, "used": self.used, "before": dict(self.before), "fit": asdict(self.fit),
            "not_used": [{"line": r.line, "why": r.why} for r in self.rejected],
        }  # fmt: skip

    def kept(self) -> Calibration:
        """All that is known of the chip, with this."""
        own = calibration.load(self.reading.chip.name) or Calibration(self.reading.chip.name)
        part = {**getattr(own, self.reading.kind), self.reading.engine: self.fit}
        return replace(own, serving=part) if self.reading.kind == "serving" else replace(own, training=part)


def fit(reading: Reading, command: str, file: str) -> Outcome:
    """The coefficients that the records tell.

    Raises:
        InputError: too few rows remain, or a column is in another unit.
    """
    subject = _subject(reading)
    records, rejected = _sift(reading, subject)
    subject = replace(subject, wanted=_told(subject, records))
    before, unseen = subject.away(subject.still, records), _held_out(subject, records)
    found = moved(subject.base, subject.wanted, subject.fit(records))
    errors = {
        metric: Error(int(np.isfinite(b).sum()), _error(b), _error(u))
        for metric, b, u in zip(subject.metrics, before, unseen, strict=True)
        if np.isfinite(b).any()
    }
    spoken = unseen[-1] if np.isfinite(unseen[-1]).any() else unseen[0]
    made = Fit(
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        command=command,
        made_on={"file": file, "rows": f"{len(records)} used, {len(rejected)} not"},
        points=len(records),
        coefficients=values(found, subject.wanted),
        errors=errors,
        spread=rounded(max(float(np.nanquantile(np.abs(spoken), 0.8)) / EIGHTY, LEAST_SPREAD)),
    )
    better = float(np.nanmean(np.abs(unseen))) < float(np.nanmean(np.abs(before)))
    return Outcome(reading, made, better, values(subject.base, subject.wanted), len(records), rejected)


def _subject(reading: Reading) -> Subject:
    """What is fitted, without what an earlier fit to records said, and how it is priced."""
    chip, engine = reading.chip, reading.engine
    if reading.kind == "serving":
        own = replace(calibration.load(chip.name) or Calibration(chip.name), serving={})

        def price(at: Profile | Trainer, some: Sequence[Record]) -> FloatArray:
            return _served(chip, cast("Profile", at), cast("Sequence[Serving]", some))

        return Subject(find(chip, engine, own), SERVING, price, ("TTFT", "TPOT"))

    def train(at: Profile | Trainer, some: Sequence[Record]) -> FloatArray:
        return _trained(chip, engine, cast("Trainer", at), cast("Sequence[Training]", some))

    return Subject(trainers.find(chip, engine, trainers.read()), TRAINING, train, ("tokens/s",))


def _served(chip: Chip, profile: Profile, records: Sequence[Serving]) -> FloatArray:
    """ln(predicted / measured) of first tokens and of tokens after them. [2, n]"""
    away = np.full((2, len(records)), np.nan)
    for at in _alike(records, lambda r: (r.model.name, r.variant)):
        some = [records[i] for i in at]
        cost = CostModel(some[0].model, chip, some[0].variant, engine=profile.engine, profile=profile)
        tp, pp, ep, dp = np.array([r.layout for r in some]).T
        columns = [[r.clients for r in some], [r.prompt for r in some], [r.output for r in some]]
        seen = steady(cost, Layouts.of(tp, pp, ep, dp), *columns)
        measured = np.array([[r.ttft_s or np.nan, r.tpot_s or np.nan] for r in some]).T
        away[:, at] = np.log(np.stack([seen.ttft_s, seen.tpot_s]) / measured)
    return away


def _trained(chip: Chip, framework: str, trainer: Trainer, records: Sequence[Training]) -> FloatArray:
    """ln(predicted / measured) seconds a token. [1, n]"""
    away = np.full((1, len(records)), np.nan)
    for at in _alike(records, lambda r: (r.model.name, r.precision, r.recompute, r.sharding)):
        some = [records[i] for i in at]
        first = some[0]
        variant = Variant(first.precision, 16.0, first.precision, 16.0, None)
        cost = CostModel(first.model, chip, variant, engine=framework, trainer=trainer)
        tp, pp, ep, dp = np.array([r.layout for r in some]).T
        cp, micro, sequence, batch, rate = np.array(
            [(r.cp, r.micro_batch, r.sequence, r.batch_tokens, r.rate) for r in some], dtype=np.float64
        ).T
        times, _ = cost.training(
            Layouts.of(tp, pp, ep, dp), micro, sequence, batch, first.precision, recompute=first.recompute,
            sharding=first.sharding, context_parallel=cp,
        )  # fmt: skip
        away[0, at] = np.log(times.seconds * rate * tp * pp * dp * cp / batch)
    return away


def _alike(records: Sequence[Any], key: Callable[[Any], object]) -> list[list[int]]:
    """Places of records of one key, key by key."""
    groups: dict[object, list[int]] = defaultdict(list)
    for at, record in enumerate(records):
        groups[key(record)].append(at)
    return list(groups.values())


def _sift(reading: Reading, subject: Subject) -> tuple[list[Record], list[Rejected]]:
    """Records to fit to, and all that are not, with reasons."""
    rejected = list(reading.rejected)
    _enough(len(reading.records), rejected)
    away = subject.away(subject.still, reading.records)
    odd: dict[int, str] = {}
    for metric, row in zip(subject.metrics, away, strict=True):
        if not np.isfinite(row).any():
            continue
        middle = float(np.nanmedian(row))
        if abs(middle) > UNIT:
            off = f"{np.exp(abs(middle)):,.0f} times {'less' if middle > 0 else 'more'}"
            raise InputError(
                f"{metric}: half of the rows say {off} than the cost model; nothing is written",
                why="that is another unit, not another chip (350 seconds to a first token are 350 ms)",
                remedy=f"check the header's unit, such as {metric.casefold()}_ms",
            )
        deviation = 1.4826 * float(np.nanmedian(np.abs(row - middle)))
        far = np.abs(row - middle) > max(FAR * deviation, np.log(FACTOR[metric]))
        for at in np.flatnonzero(far):
            odd.setdefault(int(at), _oddness(metric, float(row[at] - middle)))
    rejected += [Rejected(reading.records[at].line, why) for at, why in odd.items()]
    records = [record for at, record in enumerate(reading.records) if at not in odd]
    _enough(len(records), rejected)
    return records, sorted(rejected, key=lambda r: r.line)


def _oddness(metric: str, away: float) -> str:
    size = np.exp(abs(away))
    if 300.0 < size < 3000.0:
        return f"{metric} is about a thousand times {'less' if away > 0 else 'more'} than its like: seconds for ms?"
    return (
        f"{metric} is more than {np.floor(size):.0f} times {'less' if away > 0 else 'more'} than its like: an outlier"
    )


def _enough(records: int, rejected: Sequence[Rejected]) -> None:
    if records < LEAST:
        raise InputError(
            f"{records} rows can be used, {LEAST} are needed; nothing is written",
            why="\n".join(told(rejected)[:20]),
            remedy="docs/calibrate.md says what a row needs",
        )


def _told(subject: Subject, records: Sequence[Record]) -> list[Coefficient]:
    """The coefficients that the rows are most sensitive to, as many as there are rows for."""
    residuals = subject.residuals(records)
    slopes = squares.slopes(residuals, subject.still, residuals(subject.still))
    size = np.sqrt(np.mean(slopes**2, axis=0))
    most = np.argsort(-size)[: max(1, len(records) // ROWS_A_COEFFICIENT)]
    return [subject.wanted[int(k)] for k in sorted(most) if size[k] > SENSITIVE]


def _held_out(subject: Subject, records: Sequence[Record]) -> FloatArray:
    """ln(predicted / measured) of each record by a fit that saw none of its group. [metrics, n]"""
    folds, away = _folds(records), np.full((len(subject.metrics), len(records)), np.nan)
    for fold in range(FOLDS):
        seen, out = ([records[int(i)] for i in np.flatnonzero(at)] for at in (folds != fold, folds == fold))
        if out:
            away[:, folds == fold] = subject.away(subject.fit(seen), out)
    return away


def _folds(records: Sequence[Record]) -> np.ndarray[Any, np.dtype[np.int64]]:
    """A fold for each record; a group's records share one. The same file is cut the same way, on every machine."""
    for key in (lambda r: r.group, lambda r: r.shape, lambda r: (r.line,)):
        groups = sorted(_alike(records, key), key=lambda at: zlib.crc32(repr(key(records[at[0]])).encode()))
        if len(groups) >= FOLDS:
            break
    folds, held = np.zeros(len(records), dtype=np.int64), [0] * FOLDS
    for at in groups:
        fold = held.index(min(held))
        folds[at] = fold
        held[fold] += len(at)
    return folds


def _error(away: FloatArray) -> float:
    return rounded(float(np.nanmedian(np.abs(np.expm1(away)))))
