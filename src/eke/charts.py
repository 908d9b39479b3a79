"""How all charts look and how they are written: Altair's, as HTML that needs no network, PNG or SVG that need no
browser. It knows no data.

Altair and vl-convert come with the extra `charts`; nothing here imports them before a chart is asked for.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from eke.errors import InputError, NotInstalled

if TYPE_CHECKING:
    import altair

SERVE, TRAIN, BATCH = "#2f6f8f", "#c98a2b", "#93829f"
INK, SOFT, RULE, PAPER = "#1f2421", "#5f665f", "#e2ded2", "#ffffff"
"""The console's colours by day."""
COLOURS = ("#2f6f8f", "#c98a2b", "#58a08c", "#ab4f32", "#45578a", "#93829f", "#86b6cc", "#e2bd6c", "#a9c79b", "#7d93c9")
"""For what has no colour of its own, in this order."""
FONT = "system-ui, 'Segoe UI', Roboto, 'Noto Sans', 'DejaVu Sans', sans-serif"
SUFFIXES = (".html", ".png", ".svg")
SCALE = 2.0
"""Pixels of a PNG for each of the chart's."""


def altair_module() -> Any:
    """Altair.

    Raises:
        NotInstalled: without the extra `charts`.
    """
    try:
        import altair
        import vl_convert  # noqa: F401
    except ImportError as error:
        raise NotInstalled("drawing", "charts") from error
    return altair


def styled(chart: altair.TopLevelMixin, title: str, subtitle: str = "") -> Any:
    """The chart in Eke's looks, with what it says on top."""
    alt = altair_module()
    said = alt.TitleParams(title, subtitle=subtitle, anchor="start", offset=14, color=INK, subtitleColor=SOFT)
    drawn: Any = chart.properties(title=said)
    return (
        drawn.configure(font=FONT, background=PAPER, padding=16)
        .configure_title(fontSize=15, fontWeight=600, subtitleFontSize=12, subtitlePadding=4)
        .configure_axis(
            labelColor=SOFT, titleColor=SOFT, gridColor=RULE, domainColor=RULE, tickColor=RULE, labelFontSize=11,
            titleFontSize=11, titleFontWeight="normal", labelLimit=240,
        )
        .configure_legend(labelColor=INK, titleColor=SOFT, titleFontWeight="normal", labelLimit=240)
        .configure_header(labelColor=INK, labelFontSize=12, labelFontWeight=600, titleColor=SOFT)
        .configure_view(stroke=None)
    )  # fmt: skip


def checked(path: str | Path) -> Path:
    """The path, if its name ends as a picture's does.

    Raises:
        InputError: another ending than `SUFFIXES`.
    """
    path = Path(path)
    if path.suffix not in SUFFIXES:
        raise InputError(f"{path.name!r} is no picture", why="charts are html, png or svg", remedy="chart.html")
    return path


def write(chart: Any, path: str | Path) -> Path:
    """Write a chart, whole or not at all; what the name ends in says how.

    Raises:
        InputError: an ending other than `SUFFIXES`, or a place that cannot be written.
    """
    path = checked(path)
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_bytes(drawn(chart, path.suffix[1:]))
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise InputError(
            f"{str(path)!r} cannot be written", why=error.strerror or "", remedy="choose another place"
        ) from error
    return path


def drawn(chart: Any, kind: str, *, part: bool = False) -> bytes:
    """A chart as bytes of a page (html) or a picture (png, svg); as `part` of a page it has no title and no ground."""
    altair_module()
    import vl_convert

    spec = chart.to_dict()
    if part:
        spec.pop("title", None)
        spec["config"] |= {"background": "transparent", "padding": 2}
    if kind == "png":
        return bytes(vl_convert.vegalite_to_png(spec, scale=SCALE))
    made = vl_convert.vegalite_to_svg(spec) if kind == "svg" else vl_convert.vegalite_to_html(spec, bundle=True)
    return str(made).encode()
