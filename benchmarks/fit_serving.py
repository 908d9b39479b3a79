"""Fit the serving coefficients of engines and chips to published runs: `python benchmarks/fit_serving.py [--check]`.

Damped least squares on ln(predicted / measured) of time per output token and time to first token, weighted so that far
rows count by their distance, not its square, and groups (model, chip, engine, precision) by the root of their rows.
First tokens that waited for kernels to be compiled (`settings.cold`) do not count here; in the tables they do.

Each coefficient is fitted as ln(value / guess) under a prior (`prior`): engines share a value and differ from it by
less, and what tables of kernels tell is held much closer to them than what only whole runs tell. Its widths were chosen
by leaving models out. Rows of a sweep err together: widths are those of a fit in which a hundred rows count as one.
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
from numpy.typing import NDArray

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
# 80% of runs whose model was left out lie within 1.2816 of these: of time per output token, and of the first.
SPREAD = {"vllm": 0.142, "sglang": 0.211, "trtllm": 0.188}
FIRST_SPREAD = {"vllm": 0.215, "sglang": 0.438, "trtllm": 0.39}
ENOUGH = 20  # runs of an engine on a chip from which its coefficients count as measured

# What is fitted: for all accelerators, for an engine family, and as factors of a generation of chips. A generation's
# factors stand under the name of its first chip, where its relatives find them.
LEADERS = {"blackwell": "B200-SXM"}
GENERATION = ("launch_s",)
KERNELS = ("pad_m", "attention", "attention_decode")
ENGINE = (
    "kernel_s", "step_s", "routing", "lockstep", "handover_s", "request_s", "launch_s", "arrival_s", "speculation",
)  # fmt: skip
AT_MOST = dict.fromkeys(("lockstep", "attention", "attention_decode"), 1.0) | {"speculation": 0.95}
FAMILY = {"B200-SXM": "blackwell", "GB200": "blackwell", "B300-SXM": "blackwell", "GB300": "blackwell"}
# Standard deviations of ln(value / guess), before data.
KERNELS_KNOWN, GENERATION_KNOWN = 0.05, 0.03
SHARED, OWN = 0.07, 0.035  # of an engine's coefficient: what engines have in common, and each one's own
# How many times as wide: where only whole runs tell (who waits for whom), and where they tell more than tables do.
WIDE = dict.fromkeys(
    ("handover_s", "lockstep", "request_s", "launch_s", "arrival_s"), 12.0,
) | {"kernel_s": 4.0, "step_s": 4.0}  # fmt: skip
TTFT_WEIGHT, APART = 0.8, 0.3  # where pools are apart, rows say least of what first tokens wait for
# What engines do, and how runs were started, each taken away in turn by --ablate: where pools are apart, and where one
# engine does both.
FACTS: Mapping[bool, Mapping[str, Mapping[str, Any]]] = {
    True: {
        "all told": {},
        "tokens sent to few experts' ranks": {"profile": {"gathers": 0.0}},
        "gathered in no time": {"profile": {"latency_gather_s": 5e-6}},
        "a prompt for each rank in turn": {"profile": {"scattered": 0.0}},
        "no iteration ahead": {"profile": {"ahead": 0.0}},
        "slots for all": {"run": {"slots": np.inf}},
        "places for all": {"run": {"places": np.inf}},
        "last product of attention in 16 bits": {"variant": {"narrow_out": False}},
        "8-bit products as in the tables": {"settings": {"products": 0.0}},
    },
    False: {
        "all told": {},
        "8-bit products as in the tables": {"settings": {"products": 0.0}},
        "requests looked for at once": {"settings": {"held": 0.0}},
        "as many tokens as by default": {"settings": {"tokens": 0.0}},
        "no graphs where prompts are read": {"settings": {"graphs": False}},
        "ranks wait for others' prompts": {"settings": {"balanced": False}},
        "drafting read as plain": {"run": {"drafted": 0}},
        "heads of sparse attention as they are": {"profile": {"sparse_heads": 1.0}},
        "text turned into tokens in no time": {"profile": {"token_s": 0.0}},
    },
}
STEP = 0.02
FEW = 0.01  # change of ln(value) at which a fit ends


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
                changed[coefficient.name] = float(min(base * np.exp(value), AT_MOST.get(coefficient.name, np.inf)))
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
    first = TTFT_WEIGHT * np.where([run.apart for run in runs], APART, 1.0)
    first = first * np.array([not run.settings.cold for run in runs])
    both = np.concatenate([row, row * first])
    robust = 1.0 / np.maximum(np.abs(away), 0.07) * np.where(np.abs(away) > 0.7, 0.7 / np.abs(away), 1.0)
    return np.where(np.isfinite(away), both * robust, 0.0)


@dataclass(frozen=True, slots=True)
class Fit:
    """Where a fit stands: values [k] of `names`, residuals [2n], and their slopes [2n, k] by the values."""

    names: tuple[Coefficient, ...]
    values: FloatArray
    away: FloatArray
    slopes: FloatArray

    @property
    def found(self) -> dict[Coefficient, float]:
        """Values by coefficient."""
        return dict(zip(self.names, map(float, self.values), strict=True))


def prior(names: Sequence[Coefficient]) -> FloatArray:
    """Inverse covariance of ln(value / guess) before data. [k, k]"""
    wide = np.array([WIDE.get(c.name, 1.0) for c in names])
    first = {"": KERNELS_KNOWN} | dict.fromkeys(LEADERS, GENERATION_KNOWN)
    covariance = np.diag([first.get(c.where, OWN) ** 2 for c in names])
    for i, one in enumerate(names):
        for k, other in enumerate(names):
            if one.name == other.name and one.where in FAMILIES and other.where in FAMILIES:
                covariance[i, k] += SHARED**2
    inverse: FloatArray = np.linalg.inv(covariance * np.outer(wide, wide))
    return inverse


def fit(runs: Sequence[Run], began: Mapping[Coefficient, float], rounds: int = 6, talk: bool = False) -> Fit:
    """Values (ln over the guesses) that fit `runs`: rounds of slopes, two steps with each."""
    names, n = tuple(began), len(runs)
    x = np.array([began[name] for name in names])
    at = Fit(names, x, residuals(runs, began), np.zeros((2 * n, len(names))))
    everything = np.ones(n, dtype=bool)
    for turn in range(rounds + 1):
        at = replace(at, slopes=_slopes(runs, at))
        if turn == rounds:
            break
        x = refit(runs, at, everything, steps=2)
        moved = np.abs(x - at.values).max()
        at = replace(at, values=x, away=residuals(runs, dict(zip(names, x, strict=True))))
        if talk:
            print(f"{turn}: {_errors(at.away, np.arange(n), n)}, largest step {moved:.2f}", flush=True)
        if moved < FEW:
            break
    return at


def refit(runs: Sequence[Run], at: Fit, seen: NDArray[np.bool_], steps: int = 6) -> FloatArray:
    """Values that fit the runs `seen`, from a fit to all by the slopes found there; residuals are priced each step."""
    rows = np.flatnonzero(seen)
    some, both = [runs[k] for k in rows], np.concatenate([rows, rows + len(runs)])
    pulls, slopes = prior(at.names), at.slopes[both]
    x, away = at.values, np.nan_to_num(at.away[both])

    def loss(away: FloatArray, w: FloatArray, x: FloatArray) -> float:
        return float((w * away**2).sum() + x @ pulls @ x)

    for _ in range(steps):
        w = weights(some, away)
        normal = slopes.T @ (w[:, None] * slopes) + pulls
        step = np.clip(-np.linalg.solve(normal, slopes.T @ (w * away) + pulls @ x), -0.5, 0.5)
        before = loss(away, w, x)
        for part in (1.0, 0.3, 0.1, 0.0):
            tried = x + part * step
            new = np.nan_to_num(residuals(some, dict(zip(at.names, tried, strict=True))))
            if part == 0.0 or loss(new, w, tried) < before:
                break
        x, away = tried, new
        if part * np.abs(step).max() < FEW:
            break
    return x


def _slopes(runs: Sequence[Run], at: Fit) -> FloatArray:
    """Change of the residuals with each coefficient. [2n, k]"""
    found = np.empty_like(at.slopes)
    for k, name in enumerate(at.names):
        moved = at.values.copy()
        moved[k] += STEP
        found[:, k] = _slope(runs, at.names, moved, at.away, name.where)
    return np.nan_to_num(found)


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


def write(values: Mapping[Coefficient, float], runs: Sequence[Run]) -> None:
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
            engine: _now(found, values, engine) | {"spread": SPREAD[engine], "first_spread": FIRST_SPREAD[engine]}
            for engine, found in start.items()
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
    return {c.name: _round(getattr(tuned, c.name)) for c in values if c.where == where}


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
            found = held_out(runs, fit(runs, began, asked.rounds, talk=True))
        summary(runs, found)
        np.savez(asked.check, **found)
        return
    with guesses():
        done = fit(runs, began, asked.rounds, talk=True)
    print(f"{told(runs, done):.0f} of {len(began)} coefficients are the data's, the rest the prior's")
    write(done.found, runs)


def told(runs: Sequence[Run], at: Fit) -> float:
    """How many coefficients the data hold down: the trace of what they add to all that is known."""
    data = at.slopes.T @ (weights(runs, np.nan_to_num(at.away))[:, None] * at.slopes)
    return float(np.trace(np.linalg.solve(data + prior(at.names), data)))


def held_out(runs: Sequence[Run], at: Fit) -> dict[str, FloatArray]:
    """ln(predicted / measured) of each run by coefficients fitted without its model, or its chip. [2n] each"""
    found = {}
    for what, group in (("model", _maker), ("system", lambda run: run.system)):
        names = np.array([group(run) for run in runs], dtype=object)
        away = np.full(2 * len(runs), np.nan)
        for name in sorted(set(names)):
            out = np.flatnonzero(names == name)
            values = dict(zip(at.names, refit(runs, at, names != name), strict=True))
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
            tpot, ttft = (np.quantile(np.abs(half[engines == engine]), 0.8) for half in (away[:n], away[n:]))
            print(f"  80% of {engine} runs within {tpot:.3f} in ln, of first tokens {ttft:.3f}")


def ablate(runs: Sequence[Run], values: Mapping[Coefficient, float]) -> None:
    """Errors with each coefficient put back to its guess, everywhere it holds, and nothing else moved."""
    n, everything = len(runs), np.arange(len(runs))
    print(f"{'as fitted':18} {_errors(residuals(runs, values), everything, n)}")
    for name in dict.fromkeys(c.name for c in values):
        back = {c: 0.0 if c.name == name else v for c, v in values.items()}
        print(f"{name:18} {_errors(residuals(runs, back), everything, n)}", flush=True)
    for apart, facts in FACTS.items():
        some = [run for run in runs if run.apart == apart]
        for what, without in facts.items():
            of = [_without(run, without) for run in some]
            tuned, changed = tuner(values), without.get("profile", {})
            ttft, tpot = predict(of, lambda found, f=tuned, c=changed: replace(f(found), **c))
            measured = np.array([run.tpot_s for run in some]), np.array([run.ttft_s for run in some])
            away = np.log(np.concatenate([tpot / measured[0], ttft / measured[1]]))
            named = f"{'apart' if apart else 'one engine'}, {what}"
            print(f"{named:50} {_errors(away, np.arange(len(some)), len(some))}", flush=True)


def _without(run: Run, what: Mapping[str, Any]) -> Run:
    """The run without a fact of it."""
    return replace(
        run,
        settings=replace(run.settings, **what.get("settings", {})),
        variant=replace(run.variant, **what.get("variant", {})),
        **what.get("run", {}),
    )


def usable(runs: Sequence[Run]) -> list[Run]:
    """Runs whose layout is stated, less a source whose times per token differ by five at equal columns."""
    return [r for r in runs if not r.assumed and not (r.system == "gb200" and "Qwen3-32B" in r.published)]


if __name__ == "__main__":
    main()
