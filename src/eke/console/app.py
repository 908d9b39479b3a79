"""The console as one ASGI application: pages, their live parts, and the same facts as JSON under /api.

It only reads. The gateway answers before it; what the chat box asks goes to the gateway's /v1 like anybody's request.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from eke import units
from eke.console import views
from eke.console.sources import Found, Sources
from eke.plan.interval import based
from eke.plan.show import amount

PAGES = {
    "": "Overview", "plan": "Plan", "fleet": "Fleet", "running": "Running",
    "usage": "Served", "training": "Training", "chat": "Chat",
}  # fmt: skip
LIVE = ("overview", "running", "usage", "training")
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; style-src 'self' 'unsafe-inline'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
HOUR_S, DAY_S = 3600, 86400


def build(run_dir: Path | str) -> ASGIApp:
    """The console of the run in `run_dir`, which may be empty or not there yet."""
    console = _Console(Sources(Path(run_dir)))
    return Starlette(
        routes=[
            *[Route(f"/{name}", console.page(name or "overview"), name=f"page {name}") for name in PAGES],
            *[Route(f"/parts/{name}", console.part(name), name=f"part {name}") for name in LIVE],
            Route("/logs/{task}", console.log),
            *[
                Route(f"/api/{name}", console.api(name), name=f"api {name}")
                for name in ("status", "plan", "usage", "training")
            ],
            Mount("/static", StaticFiles(packages=[("eke.console", "static")])),
        ],
        exception_handlers={404: console.not_found},
    )


class _Console:
    """Routes over one run's sources. Handlers are plain functions: Starlette runs them beside the event loop."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._templates = Environment(
            loader=PackageLoader("eke.console"),
            autoescape=select_autoescape(),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters |= {
            "count": units.show_count,
            "seconds": units.show_seconds,
            "bytes": units.show_bytes,
            "fraction": units.show_fraction,
            "number": views.number,
            "amount": amount,
            "known": lambda of: based(of.basis, of.rests_on),
        }
        self._views: Mapping[str, Callable[[], dict[str, Any]]] = {
            "overview": self._overview,
            "plan": self._plan,
            "fleet": self._fleet,
            "running": self._running,
            "usage": self._usage,
            "training": self._training,
            "chat": dict,
        }

    def page(self, name: str) -> Callable[[Request], Response]:
        """A whole page."""

        def handler(request: Request) -> Response:
            frame = {
                "pages": PAGES,
                "here": "" if name == "overview" else name,
                "run": self._sources.folder.name,
                "origin": _origin(request),
            }
            return self._html(f"{name}.html", frame | self._views[name]())

        return handler

    def part(self, name: str) -> Callable[[Request], Response]:
        """The part of a page that changes."""

        def handler(request: Request) -> Response:
            return self._html(f"parts/{name}.html", {"origin": _origin(request)} | self._views[name]())

        return handler

    def log(self, request: Request) -> Response:
        """The end of a task's log."""
        task = request.path_params["task"]
        return self._html("parts/log.html", {"task": task, "log": self._sources.log(task)})

    def api(self, name: str) -> Callable[[Request], Response]:
        """The same facts for scripts; 404 with a word while there are none."""

        def handler(_request: Request) -> Response:
            found = self._document(name)
            if found.value is None:
                return JSONResponse({"format": f"eke.{name}/1", "error": found.why}, 404, HEADERS)
            return JSONResponse(found.value, headers=HEADERS)

        return handler

    def not_found(self, request: Request, _error: Exception) -> Response:
        """A page that says where else to go; JSON below /api."""
        if request.url.path.startswith("/api/"):
            return JSONResponse({"error": f"there is no {request.url.path} here"}, 404, HEADERS)
        frame = {"pages": PAGES, "here": None, "run": self._sources.folder.name, "path": request.url.path}
        return self._html("missing.html", frame, 404)

    # What each page needs

    def _overview(self) -> dict[str, Any]:
        return self._plan() | {"status": self._sources.status(), "training": self._sources.training()}

    def _plan(self) -> dict[str, Any]:
        found = self._sources.plan()
        plan = found.value
        if plan is None:
            return {"plan": None, "why_no_plan": found.why, "matrix": [], "promises": [], "recipes": [], "styles": {}}
        shown = {"matrix": views.matrix(plan), "promises": views.promises(plan), "recipes": views.recipes(plan)}
        return {"plan": plan, "why_no_plan": "", "styles": views.styles(plan)} | shown

    def _fleet(self) -> dict[str, Any]:
        base = self._plan()
        chips = dict.fromkeys(p.chip for p in base["plan"].pools) if base["plan"] else {}
        return base | {"chips": {name: views.chip_figures(name) for name in chips}}

    def _running(self) -> dict[str, Any]:
        return {"status": self._sources.status()}

    def _usage(self) -> dict[str, Any]:
        now = time.time()
        by_app = self._sources.usage("model", "app")
        minutes = self._sources.usage("minute", "model", since=now - HOUR_S)
        hours = self._sources.usage("hour", "model", since=now - DAY_S)
        hour, models = views.served(minutes.value or [], "minute", 60, now)
        day, models_of_day = views.served(hours.value or [], "hour", 24, now)
        return {"usage": by_app, "hour": hour, "day": day, "models": models_of_day or models}

    def _training(self) -> dict[str, Any]:
        jobs = {
            name: (found, views.loss(found.value) if found.value else None)
            for name, found in self._sources.training().items()
        }
        return {"jobs": jobs}

    def _document(self, name: str) -> Found[Any]:
        if name == "status":
            return self._sources.status()
        if name == "plan":
            plan = self._sources.plan()
            return Found(plan.value.to_dict() if plan.value else None, plan.why)
        if name == "usage":
            rows = self._sources.usage("model", "app", "day")
            return Found(
                {"format": "eke.usage/1", "rows": [asdict(r) for r in rows.value]} if rows.value is not None else None,
                rows.why,
            )
        jobs = {n: asdict(f.value) if f.value else {"error": f.why} for n, f in self._sources.training().items()}
        return Found({"format": "eke.training/1", "jobs": jobs})

    def _html(self, template: str, values: Mapping[str, Any], status: int = 200) -> Response:
        return HTMLResponse(self._templates.get_template(template).render(values), status, HEADERS)


def _origin(request: Request) -> str:
    """Where the browser found us, for the lines to copy."""
    return f"{request.url.scheme}://{request.url.netloc}"
