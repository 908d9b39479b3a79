"""Fill settings of `inferencex.csv` from public recipes: how much engines read at once, how many requests they take.

    python benchmarks/inferencex_recipes.py INFERENCEX SRT_SLURM

Both are git directories: github.com/SemiAnalysisAI/InferenceX, whose nvidia-master.yaml names a recipe for each
configuration with pools apart (or states three numbers itself), and github.com/NVIDIA/srt-slurm, which holds the
recipes (both Apache-2.0). Columns written: `batch`, requests a data rank decodes at once; `read_batch`, prompts and
`read_tokens`, tokens a data rank reads at once; 0: not said.
"""

from __future__ import annotations

import argparse
import csv
import re
import subprocess
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

FILE = Path(__file__).with_name("inferencex.csv")
MASTERS = ("*nvidia-master.yaml", "*nvidia-1k1k-master.yaml", "*nvidia-gptoss-master.yaml")
MODELS = {"dsr1": "DeepSeek-R1", "gptoss": "gpt-oss-120b", "glm5": "GLM-5", "kimik2.5": "Kimi-K2.5"}
PARTS = ("read", "decode")
SETTINGS = ("batch", "read_batch", "read_tokens")
Found = tuple[int, int, int]


def git(folder: Path, *asked: str) -> str:
    """What git says of a directory without a work tree."""
    return subprocess.run(["git", "-C", str(folder), *asked], capture_output=True, text=True, errors="replace").stdout


def configurations(folder: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every configuration of every version of the master files, once: name and settings."""
    paths = set(git(folder, "log", "--all", "--format=", "--name-only", "--", *MASTERS).split())
    seen: set[str] = set()
    for path in sorted(paths):
        blobs = dict.fromkeys(git(folder, "rev-parse", f"{c}:{path}").strip() for c in _commits(folder, path))
        for blob in blobs:
            for part in re.split(r"\n(?=[a-z0-9])", git(folder, "cat-file", "-p", blob)):
                if part in seen or "additional-settings" not in part:
                    continue
                seen.add(part)
                try:
                    found = yaml.load(part, Loader=yaml.CSafeLoader)
                except yaml.YAMLError:
                    continue
                yield from ((name, c) for name, c in found.items() if isinstance(c, dict))


def _commits(folder: Path, path: str) -> list[str]:
    return git(folder, "log", "--all", "--format=%H", "--diff-filter=AM", "--", path).split()


def spaces(config: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """(lengths, search space) of a configuration with pools apart."""
    lengths = config.get("seq-len-configs") or (config.get("scenarios") or {}).get("fixed-seq-len") or []
    for of in lengths:
        for space in of.get("search-space", []):
            if space.get("prefill") and space.get("decode"):
                yield of, space


def layout(worker: Mapping[str, Any]) -> tuple[int, int, int]:
    """tp, ep, dp, as `inferencex.csv` has them."""
    tp, ep = int(worker["tp"]), int(worker.get("ep", 1))
    return (1, ep, tp) if worker.get("dp-attn") else (tp, ep, 1)


class Recipes:
    """The newest version of each recipe."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @cache  # noqa: B019 (one of them, for the length of a program)
    def file(self, path: str) -> Mapping[str, Any]:
        """A recipe file; nothing where there is none."""
        for commit in _commits(self.folder, path)[:1]:
            found = yaml.load(git(self.folder, "show", f"{commit}:{path}"), Loader=yaml.CSafeLoader)
            return found if isinstance(found, dict) else {}
        return {}

    def settings(self, named: str) -> Found | None:
        """Settings of `recipes/FILE.yaml` or `recipes/FILE.yaml:OVERRIDE[INDEX]`."""
        path, _, override = named.partition(":")
        recipe = self.file(path)
        if override:
            name, _, index = override.partition("[")
            changed = _pick(recipe.get(name, {}), int(index.rstrip("]")) if index else 0)
            recipe = _merged(recipe.get("base", {}), changed)
        backend = recipe.get("backend", {})
        if trtllm := backend.get("trtllm_config"):
            read, decode = trtllm.get("prefill", {}), trtllm.get("decode", {})
            return tuple(int(x or 0) for x in (
                decode.get("max_batch_size"), read.get("max_batch_size"), read.get("max_num_tokens"),
            ))  # type: ignore[return-value]  # fmt: skip
        if sglang := backend.get("sglang_config"):
            read, decode = sglang.get("prefill", {}), sglang.get("decode", {})
            return (  # stated for all data ranks together
                _share(decode, "max-running-requests"), _share(read, "max-running-requests"),
                _share(read, "chunked-prefill-size"),
            )  # fmt: skip
        return None


def _share(worker: Mapping[str, Any], key: str) -> int:
    ranks = max(int(worker.get("dp-size") or worker.get("data-parallel-size") or 1), 1)
    return max(int(worker.get(key) or 0), 0) // (ranks if worker.get("enable-dp-attention") else 1)


def _pick(value: Any, index: int) -> Any:
    """One of several variants: lists are their values in turn."""
    if isinstance(value, dict):
        return {k: _pick(v, index) for k, v in value.items()}
    return value[min(index, len(value) - 1)] if isinstance(value, list) and value else value


def _merged(base: Mapping[str, Any], changed: Mapping[str, Any]) -> dict[str, Any]:
    found = dict(base)
    for key, value in changed.items():
        old = found.get(key)
        found[key] = _merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return found


def stated(said: str) -> Found | None:
    """Settings that a configuration states itself."""
    numbers = [
        re.search(rf"{k}=(\d+)", said)
        for k in ("DECODE_MAX_BATCH_SIZE", "PREFILL_MAX_BATCH_SIZE", "PREFILL_MAX_NUM_TOKENS")
    ]
    return tuple(int(n.group(1)) if n else 0 for n in numbers) if any(numbers) else None  # type: ignore[return-value]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("inferencex", type=Path)
    parser.add_argument("recipes", type=Path)
    asked = parser.parse_args()
    recipes = Recipes(asked.recipes)
    known: dict[tuple[object, ...], list[tuple[set[int], Found]]] = defaultdict(list)
    for name, config in configurations(asked.inferencex):
        model, precision, system, *rest = name.split("-")
        for of, space in spaces(config):
            read, decode = space["prefill"], space["decode"]
            said = " ".join((read.get("additional-settings") or []) + (decode.get("additional-settings") or []))
            file = re.search(r"CONFIG_FILE=(\S+)", said)
            found = recipes.settings(file.group(1)) if file else stated(said)
            if found is None:
                batch = re.search(r"batch(\d+)", file.group(1)) if file else None
                found = (int(batch.group(1)), 0, 0) if batch else None
            if found is None:
                continue
            engine = next((e for e in ("sglang", "vllm") if any(e in r for r in rest)), "trtllm")
            key = (
                MODELS.get(model, model), system, engine, precision, str(of["isl"]), str(of["osl"]),
                space.get("spec-decoding", "none") != "none",
                int(read["num-worker"]), layout(read), int(decode["num-worker"]), layout(decode),
            )  # fmt: skip
            known[key].append(({int(c) for c in space.get("conc-list") or []}, found))
    with FILE.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    for row in rows:
        read, decode = (tuple(int(row[f"{part}_{x}"]) for x in ("tp", "ep", "dp")) for part in PARTS)
        key = (
            row["model"], row["system"], row["engine"], row["precision"], row["prompt"], row["output"],
            row["drafts"] == "1", int(row["readers"]), read, int(row["decoders"]), decode,
        )  # fmt: skip
        clients = {int(c) for c in row["clients"].split()}
        options = {found for some, found in known.get(key, ()) if some & clients}
        if not options:  # clients stated an engine
            many = int(row["decoders"])
            options = {found for some, found in known.get(key, ()) if {c * many for c in some} & clients}
        for k, column in enumerate(SETTINGS):
            values = {found[k] for found in options}
            row[column] = str(values.pop()) if len(values) == 1 else "0"
    print(*(f"{c}: {sum(row[c] != '0' for row in rows)} of {len(rows)}" for c in SETTINGS), sep="\n")
    columns = [c for c in rows[0] if c not in SETTINGS]
    columns[columns.index("image") : columns.index("image")] = SETTINGS
    with FILE.open("w", encoding="utf-8", newline="") as out:
        writer = csv.DictWriter(out, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
