"""How far predictions are from published runs.

`python benchmarks/fidelity.py [--serving FILE] [--training FILE …] [--by] [--json OUT]`

Without files: all that lies in `../shared/data/perf` beside the repository. Errors are absolute and relative; rows that
cannot be priced count as errors of 100%.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import fidelity_lab
import fidelity_older
import fidelity_serving

PERF = Path(__file__).resolve().parents[2] / "shared" / "data" / "perf"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--serving", type=Path, help="a file with the columns of serving_silicon.csv")
    parser.add_argument(
        "--training", type=Path, action="append", help="files of training runs; may be given often", nargs="+"
    )
    parser.add_argument("--json", type=Path)
    parser.add_argument("--by", action="store_true", help="serving errors by model, chip, engine and precision too")
    asked = parser.parse_args()
    everything = asked.serving is None and asked.training is None
    report: dict[str, Any] = {}
    if asked.serving or everything:
        report["serving"] = fidelity_serving.report(asked.serving or PERF / "serving_silicon.csv", by=asked.by)
    if everything:
        report["layers"] = fidelity_older.layers(PERF)
        report["splitwise"] = fidelity_older.splitwise(PERF)
        report["requests"] = fidelity_older.requests(PERF)
        report["lab"] = fidelity_lab.report(PERF, rows=asked.by)
    if asked.training or everything:
        import fidelity_training

        files = [file for group in asked.training for file in group] if asked.training else None
        report["training"] = fidelity_training.report(files)
    if asked.json:
        asked.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
