"""Published training runs as a check on the runway: `python benchmarks/history.py [--json OUT]`.

Given the chips and the model of a run, how long does it take, failures included? Speed is the cost model's for the
layout the run states; the share of time that counts is `eke.cost.goodput`'s. Runs whose speed is among those that the
shipped coefficients were fitted to are marked: for them only the failures and the arithmetic are a test.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass, replace
from pathlib import Path

from eke.cost.goodput import PUBLISHED_H, STALL_S, Restarts, effective_share
from fidelity_training import model_of, predict
from training_rows import RUN_COLUMNS, RUNS, Row

WITHIN = 0.15


@dataclass(frozen=True, slots=True)
class Run:
    """A run whose duration is known.

    Attributes:
        key: of `training_rows.RUNS`. chips: of the run. tokens: trained in all.
        days: published. chip_h: hours between failures of one chip; where from: `failures`.
        ramp: sequences a step at first, more with each stage, and tokens until the full batch; None: full at once.
        stall_s: what writing a checkpoint holds the job up.
    """

    name: str
    key: str
    chips: int
    tokens: float
    days: float
    chip_h: float
    failures: str
    source: str
    remark: str = ""
    ramp: tuple[int, int, float] | None = None
    stall_s: float = STALL_S


SELENE_SAVES_S = 13.8e12 * 530 / 1008 / 273e9
"""To write a checkpoint of 530B parameters on Selene in 2021, with training stopped, as Megatron-LM then did: 13.8 TB
of 1,008B parameters, 273 GB/s (arXiv 2104.04473, section 5.10)."""
USUAL_H = Restarts().chip_s / 3600
RUNS_THAT_LASTED = (
    Run("Llama 3.1 405B", "Meta 8K, 16,384", 16_384, 15.6e12, 30.84e6 / 16_384 / 24, PUBLISHED_H["Llama 3 405B"],
        "its own: 466 interruptions in 54 days", "model card: 30.84M chip hours (all stages)",
        "the hours hold long-context and annealing stages, slower than the 8K stage that is predicted"),
    Run("DeepSeek-V3 pre-training", "DeepSeek", 2_048, 14.8e12, 2.664e6 / 2_048 / 24, USUAL_H,
        "mean of three fleets", "arXiv 2412.19437: 2.664M chip hours"),
    Run("Megatron-Turing NLG 530B", "MT-NLG", 4_480, 270e9, 32.0833, USUAL_H, "mean of three fleets",
        "Epoch AI database; ramp: arXiv 2201.11990, section 3.2; checkpoints: arXiv 2104.04473, section 5.10",
        "Epoch's 32 days on 4,480 chips are its reading: the paper states no duration, and times steps on 2,240 to "
        "3,360 chips, 60.1 to 44.4 s, where the prediction is 6 to 9% too fast", (32, 32, 12e9), SELENE_SAVES_S),
)  # fmt: skip
LEFT_OUT = (
    ("Epoch: Llama 3.1-405B", "the same run again; its 89 days are reckoned from an assumed utilisation"),
    ("Epoch: GPT-4", "Epoch marks chips, tokens and utilisation as speculative"),
    ("Epoch: Megatron-LM 8.3B, Megatron-BERT, RoBERTa", "state the data set's tokens, not how many were trained on"),
    ("Epoch: Gemini, PaLM, Switch, GShard, Meena, T5, AlphaStar", "TPUs, for which no training coefficients are known"),
    ("Pangu Ultra, Llama-4 Behemoth, ERNIE 4.5", "state no duration"),
)


def row_of(run: Run) -> Row:
    """The run at its stated layout, on all its chips."""
    *values, recompute = RUNS[run.key]
    row = Row("published runs", **dict(zip(RUN_COLUMNS, values, strict=True)), recompute=recompute, note=run.key)
    return replace(row, chips=run.chips)


def seconds(run: Run) -> float:
    """Predicted time to train all tokens, failures aside: small batches first where the run states so, since a pipeline
    of many stages is mostly empty with few micro-batches.
    """
    row = row_of(run)
    stages, left = [row], run.tokens
    share = [0.0]
    if run.ramp is not None:
        first, step, until = run.ramp
        sizes = range(first, row.batch + 1, step)
        stages += [replace(row, batch=b) for b in sizes]
        share += [until / len(sizes)] * len(sizes)
        left -= until
    share[0] = left
    return sum(tokens / (float(rate) * run.chips) for tokens, rate in zip(share, predict(stages), strict=True))


def reckon(run: Run) -> dict[str, object]:
    """Predicted days, with and without failures, and how far off."""
    row = row_of(run)
    rate = float(predict([row])[0])
    share = float(effective_share(run.chips / (run.chip_h * 3600), Restarts(run.chip_h * 3600, stall_s=run.stall_s)))
    without = seconds(run) / 86400
    days = without / share
    low, high = model_of(row).interval
    return {
        "run": run.name, "chips": run.chips, "published_days": round(run.days, 1), "predicted_days": round(days, 1),
        "interval_days": [round(low * days, 1), round(high * days, 1)], "without_failures_days": round(without, 1),
        "time_that_counts": round(share, 4), "error": round(days / run.days - 1, 4),
        "within": abs(days / run.days - 1) <= WITHIN, "speed_error": round(rate / row.measured - 1, 4),
        "failures": run.failures, "source": run.source, "remark": run.remark,
    }  # fmt: skip


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    told = [reckon(run) for run in RUNS_THAT_LASTED]
    print(f"{'run':27} {'chips':>6} {'days':>6} {'predicted':>9} {'80%':>13} {'counts':>7} {'error':>7} {'speed':>7}")
    for r in told:
        low, high = r["interval_days"]  # type: ignore[misc]
        span = f"{low:.0f}–{high:.0f}"
        print(
            f"{r['run']:27} {r['chips']:6,} {r['published_days']:6} {r['predicted_days']:9} {span:>13} "
            f"{r['time_that_counts']:7.1%} {r['error']:+7.1%} {r['speed_error']:+7.1%}"
        )
    for r in told:
        print(f"  {r['run']}: failures {r['failures']}; {r['source']}. {r['remark']}".rstrip())
    print("left out:")
    for name, why in LEFT_OUT:
        print(f"  {name}: {why}")
    print("speed: the cost model against the run's own tokens/s; these runs are among those it was fitted to.")
    if asked.json:
        asked.json.write_text(json.dumps({"within": WITHIN, "runs": told, "left_out": dict(LEFT_OUT)}, indent=2))


if __name__ == "__main__":
    main()
