"""Fit the serving coefficients of engines and chips to published runs: `python benchmarks/fit_serving.py [--check]`.

Damped least squares on ln(predicted / measured) of time per output token and time to first token, weighted so that far
rows count by their distance, not its square, and groups (model, chip, engine, precision) by the root of their rows.
Each coefficient is fitted as ln(value / guess) with a pull towards the guess: what the rows do not tell stays put.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from eke.cost import Profile, profile
from eke.cost.tables import FloatArray
from eke.fleet import catalogue as chips
from fidelity import PERF
from fidelity_serving import Tune, predict
from serving_rows import Run, read

FILE = profile.FITTED
PROFILES = FILE.parent
HEADER = "# Written by benchmarks/fit_serving.py: coefficients, no measurements. See docs/how-good.md.\n"
BLANK = (  # whose experts are fitted as they are, not carried over by a chip's balance, is as shipped
    "{format: eke.profile/1, source: guesses, measured: {vllm: [H100-SXM, H200-SXM, B200-SXM, GB200]}, accelerator: {},"
    " chips: {}, engines: {vllm: {}, sglang: {}, trtllm: {}}}\n"
)
FAMILIES = ("vllm", "sglang", "trtllm")
# Of time per output token: 76% of runs whose model was left out lie within 1.2816 of these, 83% of runs whose chip was.
SPREAD = dict.fromkeys(FAMILIES, 0.2)
ENOUGH = 20  # runs of an engine on a chip from which its coefficients count as measured

# What is fitted: for all accelerators, for an engine family, and as factors of a generation of chips. A generation's
# factors stand under the name of its first chip, where its relatives find them.
LEADERS = {"blackwell": "B200-SXM"}
GENERATION = ("memory", "kernel_s", "experts", "latency_up_s", "link_up", "pad_m")
KERNELS = (
    "pad_m",
    "attention",
    "attention_decode",
    "attention_memory",
    "experts",
    "link_up",
    "latency_up_s",
    "latency_hop_s",
)
ENGINE = (
    "kernel_s", "step_s", "routing", "imbalance", "one_shot", "lockstep", "handover_s",
    "request_s", "arrival_s", "turn", "bunching", "gathering", "settling", "serial", "crowding", "speculation",
)  # fmt: skip
AT_MOST = dict.fromkeys(
    ("lockstep", "attention_memory", "attention", "link_up", "gathering", "one_shot", "attention_decode"), 1.0
)
FAMILY = {"B200-SXM": "blackwell", "GB200": "blackwell", "B300-SXM": "blackwell", "GB300": "blackwell"}
AT_LEAST = {"crowding": 1.0}  # engines never read more than they can
PULL = 0.15  # weight of a coefficient's distance from its start
TTFT_WEIGHT = 0.8
STEP = 0.02
BACK = 0.4  # of the way to the guesses, where held-out fits begin: shipped values have seen every row


@dataclass(frozen=True, slots=True)
class Coefficient:
    """One number to fit: its name, and where it holds (an engine, a chip, or everywhere)."""

    name: str
    where: str = ""


def tuner(values: Mapping[Coefficient, float]) -> Tune:
    """Profiles with the coefficients multiplied by exp(value)."""

    def tune(found: Profile) -> Profile:
        changed: dict[str, Any] = {}
        for coefficient, value in values.items():
            if coefficient.where in ("", found.engine, found.chip, FAMILY.get(found.chip, "-")):
                base = changed.get(coefficient.name, getattr(found, coefficient.name))
                most = AT_MOST.get(coefficient.name, np.inf)
                if isinstance(base, Mapping):
                    changed[coefficient.name] = {key: one * np.exp(value) for key, one in base.items()}
                else:
                    changed[coefficient.name] = float(
                        np.clip(base * np.exp(value), AT_LEAST.get(coefficient.name, 0.0), most)
                    )
        return replace(found, **changed)

    return tune


def residuals(runs: Sequence[Run], values: Mapping[Coefficient, float]) -> FloatArray:
    """ln(predicted / measured): first times per output token, then first tokens. [2n]"""
    ttft, tpot = predict(runs, tuner(values))
    return np.log(np.concatenate([tpot / [run.tpot_s for run in runs], ttft / [run.ttft_s for run in runs]]))


def weights(runs: Sequence[Run], away: FloatArray) -> FloatArray:
    groups = [(run.model.name, run.chip.name, run.engine, run.variant.name) for run in runs]
    sizes = Counter(groups)
    row = np.array([1.0 / np.sqrt(sizes[g]) for g in groups])
    row /= row.mean()
    both = np.concatenate([row, row * TTFT_WEIGHT])
    robust = 1.0 / np.maximum(np.abs(away), 0.07) * np.where(np.abs(away) > 0.7, 0.7 / np.abs(away), 1.0)
    return np.where(np.isfinite(away), both * robust, 0.0)


def fit(
    runs: Sequence[Run], start: Mapping[Coefficient, float], rounds: int = 6, talk: bool = False
) -> dict[Coefficient, float]:
    """Values (ln over the profile's own) that fit `runs`."""
    names = list(start)
    x = np.array([start[name] for name in names])
    damping = 1.0
    away = residuals(runs, dict(zip(names, x, strict=True)))
    for turn in range(rounds):
        w = weights(runs, away)
        loss = _loss(away, w, x)
        slopes = np.empty((len(away), len(names)))
        for k in range(len(names)):
            moved = x.copy()
            moved[k] += STEP
            slopes[:, k] = _slope(runs, names, moved, away, names[k].where)
        slopes = np.nan_to_num(slopes)
        normal = slopes.T @ (w[:, None] * slopes) + np.diag(np.full(len(names), PULL**2 * len(runs) / 20))
        pull = PULL**2 * len(runs) / 20 * x
        gradient = slopes.T @ (w * np.nan_to_num(away)) + pull
        while damping < 1e4:
            step = np.linalg.solve(normal + damping * np.diag(np.diag(normal)) * 0.1, -gradient)
            tried = x + np.clip(step, -0.7, 0.7)
            new = residuals(runs, dict(zip(names, tried, strict=True)))
            if _loss(new, w, tried) < loss:
                x, away, damping = tried, new, damping / 4
                break
            damping *= 4
        if talk:
            n = len(runs)
            err = np.abs(np.expm1(away))
            print(
                f"{turn}: loss {loss:.2f} tpot {np.nanmedian(err[:n]):.4f} ttft {np.nanmedian(err[n:]):.4f}", flush=True
            )
    return dict(zip(names, x, strict=True))


def _slope(
    runs: Sequence[Run], names: Sequence[Coefficient], moved: FloatArray, away: FloatArray, where: str
) -> FloatArray:
    """Change of the residuals with one coefficient; only the runs it touches are priced."""
    touched = [k for k, r in enumerate(runs) if where in ("", r.engine, r.chip.name, FAMILY.get(r.chip.name))]
    both = [*touched, *(k + len(runs) for k in touched)]
    slope = np.zeros(len(away))
    if touched:
        new = residuals([runs[k] for k in touched], dict(zip(names, moved, strict=True)))
        slope[both] = (new - away[both]) / STEP
    return slope


def _loss(away: FloatArray, w: FloatArray, x: FloatArray) -> float:
    return float(np.nansum(w * away**2) + PULL**2 * len(w) / 40 * (x**2).sum())


def start() -> dict[Coefficient, float]:
    """Every coefficient where it holds, at the shipped values: ln(shipped / guess)."""
    shipped = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    with guesses():
        guessed = {engine: profile.find(chips.chip("H100-SXM"), engine) for engine in FAMILIES}
    places = [(name, "", shipped["accelerator"]) for name in KERNELS]
    places += [(name, engine, shipped["engines"].get(engine, {})) for engine in FAMILIES for name in ENGINE]
    found = {
        Coefficient(name, where): _ln(values.get(name), getattr(guessed[where or "vllm"], name))
        for name, where, values in places
    }
    for family, chip in LEADERS.items():
        factors = shipped["chips"].get(chip, {})
        twice = _own(chip)  # these factors hold everybody's too
        found |= {
            Coefficient(name, family): float(np.log(factors.get(name, 1.0)))
            - (found.get(Coefficient(name), 0.0) if name in twice and factors else 0.0)
            for name in GENERATION
        }
    return found


def _ln(now: Any, guess: Any) -> float:
    if isinstance(guess, Mapping):
        now, guess = (None if now is None else next(iter(now.values()))), next(iter(guess.values()))
    return 0.0 if now is None else float(np.log(now / guess))


@contextmanager
def guesses() -> Iterator[None]:
    """Profiles without anything fitted."""
    kept = profile.FITTED
    with tempfile.TemporaryDirectory() as folder:
        profile.FITTED = Path(folder) / "serving.yaml"
        profile.FITTED.write_text(BLANK, encoding="utf-8")
        try:
            yield
        finally:
            profile.FITTED = kept


def write(values: Mapping[Coefficient, float], runs: Sequence[Run], spread: Mapping[str, float]) -> None:
    """Write the coefficients as `profiles/serving.yaml`: absolute values, and factors of chip generations."""
    with guesses():
        start = {engine: profile.find(chips.chip("H100-SXM"), engine) for engine in FAMILIES}
    any_engine = start["vllm"]
    measured = {
        engine: sorted(n for n, k in Counter(r.chip.name for r in runs if r.engine == engine).items() if k >= ENOUGH)
        for engine in start
    }
    document = {
        "format": "eke.profile/1",
        "source": f"{len(runs)} published serving runs (aiconfigurator-core 0.12.0, Apache-2.0); fit_serving.py",
        "measured": measured,
        "accelerator": _now(any_engine, values, ""),
        "chips": {
            chip: {c.name: _round(_factor(c, values, chip)) for c in values if c.where == family}
            for family, chip in LEADERS.items()
        },
        "engines": {
            engine: _now(found, values, engine) | {"spread": _round(spread[engine])} for engine, found in start.items()
        },
    }
    FILE.write_text(
        HEADER + yaml.safe_dump(document, sort_keys=False, width=120, default_flow_style=None), encoding="utf-8"
    )


def _factor(of: Coefficient, values: Mapping[Coefficient, float], chip: str) -> float:
    """The generation's factor; times everybody's, where the chip's own file says more than the general value."""
    everybody = values.get(Coefficient(of.name), 0.0) if of.name in _own(chip) else 0.0
    return float(np.exp(values[of] + everybody))


def _own(chip: str) -> Mapping[str, Any]:
    """What a chip's own file says."""
    file = PROFILES / f"{profile.slug(chip)}.yaml"
    document: Mapping[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
    kernels: Mapping[str, Any] = document["kernels"]
    return kernels


def _now(found: Profile, values: Mapping[Coefficient, float], where: str) -> dict[str, Any]:
    tuned = tuner({c: v for c, v in values.items() if c.where == where})(found)
    names = [c.name for c in values if c.where == where]
    return {
        name: {k: _round(x) for k, x in got.items()}
        if isinstance(got := getattr(tuned, name), Mapping)
        else _round(got)
        for name in names
    }


def _round(value: float) -> float:
    return float(f"{value:.3g}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--serving", type=Path, default=PERF / "serving_silicon.csv")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--afresh", action="store_true", help="begin at the guesses, not at the shipped coefficients")
    parser.add_argument("--check", type=Path, help="fit without each model and chip in turn; residuals to this file")
    parser.add_argument("--ablate", action="store_true", help="errors with each coefficient back at its guess")
    asked = parser.parse_args()
    runs = usable(read(asked.serving)[0])
    began = dict.fromkeys(start(), 0.0) if asked.afresh else start()
    print(f"{len(runs)} runs, {len(began)} coefficients", flush=True)
    if asked.ablate:
        with guesses():
            ablate(runs, began)
        return
    if asked.check:
        with guesses():
            found = held_out(runs, {c: (1.0 - BACK) * v for c, v in began.items()}, asked.rounds)
        summary(runs, found)
        np.savez(asked.check, **found)
        return
    with guesses():
        values = fit(runs, began, asked.rounds, talk=True)
    write(values, runs, SPREAD)


def held_out(runs: Sequence[Run], began: Mapping[Coefficient, float], rounds: int) -> dict[str, FloatArray]:
    """ln(predicted / measured) of each run by coefficients that never saw its model, or its chip. [2n] each"""
    found = {}
    for what, group in (("model", _maker), ("system", lambda run: run.system)):
        names = np.array([group(run) for run in runs], dtype=object)
        away = np.full(2 * len(runs), np.nan)
        for name in sorted(set(names)):
            seen = [run for run, n in zip(runs, names, strict=True) if n != name]
            values = fit(seen, began, rounds)
            out = np.flatnonzero(names == name)
            away[np.concatenate([out, out + len(runs)])] = residuals([runs[k] for k in out], values)
            print(f"without {name}: {_errors(away, out, len(runs))}", flush=True)
        found[what] = away
    return found


def _maker(run: Run) -> str:
    """Models that share their shape are one."""
    return "DeepSeek" if run.model.name.startswith("DeepSeek") else run.model.name


def _errors(away: FloatArray, at: Any, n: int) -> str:
    wrong = np.abs(np.expm1(away))
    return f"{len(at)} runs, TPOT {np.median(wrong[at]):.1%}, TTFT {np.median(wrong[at + n]):.1%}"


def summary(runs: Sequence[Run], found: Mapping[str, FloatArray]) -> None:
    """Held-out errors by kind, and the spread that makes an 80% interval of them."""
    n = len(runs)
    kinds, engines = (np.array([getattr(run, x) for run in runs], dtype=object) for x in ("kind", "engine"))
    for what, away in found.items():
        for kind in ("dense", "moe", "disaggregated"):
            print(f"held out by {what}, {kind}: {_errors(away, np.flatnonzero(kinds == kind), n)}")
        for engine in FAMILIES:
            some = np.abs(away[:n][engines == engine])
            print(f"  80% of {engine} runs within {np.quantile(some, 0.8):.3f} in ln")


def ablate(runs: Sequence[Run], values: Mapping[Coefficient, float]) -> None:
    """Errors with each coefficient put back to its guess, everywhere it holds, and nothing else moved."""
    n, everything = len(runs), np.arange(len(runs))
    print(f"{'as fitted':18} {_errors(residuals(runs, values), everything, n)}")
    for name in dict.fromkeys(c.name for c in values):
        back = {c: 0.0 if c.name == name else v for c, v in values.items()}
        print(f"{name:18} {_errors(residuals(runs, back), everything, n)}", flush=True)


def usable(runs: Sequence[Run]) -> list[Run]:
    """Runs whose layout is stated, less a source whose times per token differ by five at equal columns."""
    return [r for r in runs if not r.assumed and not (r.system == "gb200" and "Qwen3-32B" in r.published)]


if __name__ == "__main__":
    main()
