"""Pictures of predicted against published figures: `python benchmarks/fidelity_plots.py [NAME …] [--out DIR]`.

One PNG each for time per output token, time to the first token, training tokens/s of a chip, and layer times: a panel
a chip, a colour a model, the diagonal, and a band of 20% either side. Points come from `../shared/data/perf`; the
pictures show marks alone. Draws; predicts nothing itself.
"""

from __future__ import annotations

import argparse
import sys
import zlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import altair as alt
import numpy as np

import fidelity_older
import fidelity_serving
import fidelity_training
from eke import charts
from serving_rows import read

PERF = Path(__file__).resolve().parents[2] / "shared" / "data" / "perf"
FIGURES = Path(__file__).resolve().parents[1] / "docs" / "figures"
BAND = 0.2  # either side of the diagonal
MOST_MODELS = 9  # that have a colour of their own; the rest are grey


@dataclass(frozen=True, slots=True)
class Point:
    """One published figure."""

    measured: float
    predicted: float
    model: str
    chip: str


@dataclass(frozen=True, slots=True)
class Figure:
    """One picture: where its points come from, and what its axes say."""

    title: str
    unit: str
    points: Callable[[], list[Point]]
    columns: int = 2
    format: str = "~g"


def serving(what: str) -> list[Point]:
    """`tpot` in milliseconds or `ttft` in seconds of all published serving runs that have a prediction."""
    runs, _ = read(PERF / "serving_silicon.csv")
    ttft, tpot = fidelity_serving.predict(runs)
    if what == "ttft":
        pairs = zip(runs, [run.ttft_s for run in runs], ttft, strict=True)
    else:
        pairs = zip(runs, [run.tpot_s * 1e3 for run in runs], tpot * 1e3, strict=True)
    return [Point(is_, says, run.model.name, run.chip.name) for run, is_, says in pairs if np.isfinite(says)]


SERIES = {
    "mpt": "MPT", "gpt-oss": "gpt-oss", "deepseek": "DeepSeek", "llama": "Llama", "codellama": "Llama", "qwen": "Qwen",
    "codeqwen": "Qwen", "mixtral": "Mixtral", "mistral": "Mixtral", "gemma": "Gemma",
}  # fmt: skip
PANELS = {
    "A100-SXM-40": "A100, A800", "A100-SXM-80": "A100, A800", "A800-SXM": "A100, A800", "H100-SXM": "H100, H200, H800",
    "H100-96-HBM2e": "H100, H200, H800", "H200-SXM": "H100, H200, H800", "H800-SXM": "H100, H200, H800",
    "Ascend-910B3": "Ascend 910B", "MetaX-C500-OAM": "MetaX C500",
}  # fmt: skip


def training() -> list[Point]:
    """Tokens/s of a chip, models by series, chips by generation."""
    of = fidelity_training.laid_out()
    ratio = fidelity_training.ratios(of)
    found = []
    for row, x in zip(of, ratio, strict=True):
        series = next((name for start, name in SERIES.items() if row.model.lower().startswith(start)), "others")
        panel = PANELS.get(row.chip, "MI300X to MI355X" if row.chip.startswith("MI3") else "Blackwell")
        found.append(Point(row.measured, row.measured * float(x), series, panel))
    return found


def layers() -> list[Point]:
    """Milliseconds of one layer on old chips."""
    return [
        Point(is_ * 1e3, says * 1e3, f"{curve.model}, {curve.phase}", curve.chips.upper().replace("X", " x "))
        for curve in fidelity_older.layer_curves(PERF)
        for is_, says in zip(curve.measured, curve.predicted, strict=True)
    ]


FIGURES_OF: Mapping[str, Figure] = {
    "serving-tpot": Figure("Time per output token", "ms", lambda: serving("tpot")),
    "serving-ttft": Figure("Time to the first token", "s", lambda: serving("ttft")),
    "training": Figure("Training", "tokens/s of a chip", training, 3, "~s"),
    "layers": Figure("One layer, Helix's measurements", "ms", layers, 4),
}


def draw(figure: Figure, points: Sequence[Point]) -> bytes:
    """The picture as PNG."""
    first = [name for name, _ in Counter(p.model for p in points).most_common(MOST_MODELS)]
    models = [*sorted(first), *(["others"] if len({p.model for p in points}) > MOST_MODELS else [])]
    rows = [{"x": p.measured, "y": p.predicted, "model": p.model if p.model in first else "others", "chip": p.chip}
            for p in points]  # fmt: skip
    values = [v for p in points for v in (p.measured, p.predicted)]
    low, high = 10 ** (np.floor(np.log10(min(values)) * 5) / 5), 10 ** (np.ceil(np.log10(max(values)) * 5) / 5)
    scale = alt.Scale(type="log", domain=[low, high], nice=False)
    ends = [{"x": x, "y": x, "low": max(x * (1 - BAND), low), "high": min(x * (1 + BAND), high), "chip": chip}
            for x in np.geomspace(low, high, 60) for chip in sorted({p.chip for p in points})]  # fmt: skip
    tens = [10.0**k for k in range(-4, 7) if low <= 10.0**k <= high]
    axis = {"scale": scale, "axis": alt.Axis(values=tens, format=figure.format, grid=True, gridOpacity=0.5)}
    x = alt.X("x:Q", title=f"measured, {figure.unit}", **axis)
    y = alt.Y("y:Q", title=f"predicted, {figure.unit}", **axis)
    colour = alt.Color("model:N", title=None, sort=models, scale=alt.Scale(domain=models, scheme="tableau10"))
    # Layers of one data set, so that they can be set in panels together: `kind` tells lines from points.
    data = alt.Data(values=[*({**row, "kind": "point"} for row in rows), *({**row, "kind": "line"} for row in ends)])
    on = alt.Chart(data)
    lines, marks = (on.transform_filter(f"datum.kind == '{kind}'") for kind in ("line", "point"))
    layered = alt.layer(
        lines.mark_area(color="#bbb", opacity=0.35).encode(x=x, y=alt.Y("low:Q", scale=scale), y2="high:Q"),
        lines.mark_line(color="#777", strokeWidth=0.8).encode(x=x, y=y),
        marks.mark_circle(size=16, opacity=0.55, clip=True).encode(x=x, y=y, color=colour),
    )
    side = 230 if figure.columns < 3 else 165
    panels = layered.properties(width=side, height=side).facet(
        facet=alt.Facet("chip:N", title=None), columns=figure.columns
    )
    subtitle = f"{len(points):,} points; grey: the diagonal and {BAND:.0%} either side"
    chart = charts.styled(panels, f"{figure.title}: predicted against published", subtitle)
    return _packed(charts.drawn(chart.configure_legend(symbolSize=60, symbolOpacity=1, labelLimit=220), "png"))


def _packed(png: bytes) -> bytes:
    """The same picture, its pixels compressed as well as zlib can."""
    head, pixels, at = png[:8], b"", 8
    kept: list[tuple[bytes, bytes]] = []
    while at < len(png):
        size, kind = int.from_bytes(png[at : at + 4], "big"), png[at + 4 : at + 8]
        body, at = png[at + 8 : at + 8 + size], at + size + 12
        if kind == b"IDAT":
            pixels += body
        else:
            kept.append((kind, body))
    kept.insert(-1, (b"IDAT", zlib.compress(zlib.decompress(pixels), 9)))
    return head + b"".join(
        len(body).to_bytes(4, "big") + kind + body + zlib.crc32(kind + body).to_bytes(4, "big") for kind, body in kept
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", choices=(*FIGURES_OF, []), help="which pictures (default: all)")
    parser.add_argument("--out", type=Path, default=FIGURES)
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    for name in asked.names or FIGURES_OF:
        points = FIGURES_OF[name].points()
        file = asked.out / f"{name}.png"
        file.write_bytes(draw(FIGURES_OF[name], points))
        print(f"{file}: {len(points)} points, {file.stat().st_size / 1e3:.0f} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
