# ruff: noqa: E501
"""The console in a real browser: a real run of mock engines under the real controller, looked at in Chromium."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from eke.console import app
from eke.plan import load, make
from eke.runtime import run
from eke.runtime.base import Task
from eke.runtime.engines import mock
from eke.runtime.engines.base import Replica
from eke.runtime.state import State

pytestmark = pytest.mark.e2e

ARGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
SERVE = "import typer; from eke.cli.serve import serve; typer.run(serve)"
START_S = 60
SIZES = {"desktop": (1280, 860), "phone": (390, 844)}
PICTURES = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium, in a profile of its own."""
    path = os.environ.get("EKE_CHROMIUM") or shutil.which("chromium")
    if path is None:
        pytest.skip("no Chromium here; scripts/install-browser brings it")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=list(ARGS))
        yield chromium
        chromium.close()


@pytest.fixture
def origin(history: Path) -> Iterator[str]:
    """The address of a run of two engines, a trainer and the service, all alive."""
    replicas = [
        Replica(name=f"customer-answers-{i}", workload="customer-answers", model="Hunyuan-A13B-Instruct", slots=4, context=4096, variant="fp8", pool="h20")
        for i in range(2)
    ]  # fmt: skip
    tasks = [
        Task(
            "service",
            "service",
            (sys.executable, "-c", SERVE, str(history), "--port", "{port}"),
            port=0,
            health="/healthz",
        ),
        *(mock.task(r, token_s=0.02) for r in replicas),
        Task("hunyuan-next", "trainer", (sys.executable, "-c", "import time; time.sleep(600)"), grace_s=1),
    ]
    run.start(history, tasks)
    try:
        yield ready(history)
    finally:
        run.down(history, hurry=True)


def ready(folder: Path) -> str:
    """Wait until the service answers and knows an engine; its address."""
    state, until = State(folder), time.monotonic() + START_S
    try:
        while time.monotonic() < until:
            port = next((p.port for p in state.processes() if p.task == "service" and p.status == "ready"), None)
            with suppress(OSError):
                if port and urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz").status == 200:
                    return f"http://127.0.0.1:{port}"
            time.sleep(0.2)
    finally:
        state.close()
    raise AssertionError(f"the run did not start: {[(p.task, p.status, p.error) for p in state.processes()]}")


def opened(browser: Browser, size: str, scheme: str) -> tuple[Page, list[str]]:
    """A page, and the faults its console reports from now on."""
    width, height = SIZES[size]
    page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)  # type: ignore[arg-type]
    faults: list[str] = []
    page.on("console", lambda m: faults.append(m.text) if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda e: faults.append(str(e)))
    page.on("requestfailed", lambda r: faults.append(f"{r.url}: {r.failure}"))
    return page, faults


def test_every_page_in_every_light(browser: Browser, origin: str) -> None:
    """All pages open without a fault, at both widths and in both colour schemes, and nothing overflows sideways."""
    for size in SIZES:
        for scheme in ("light", "dark"):
            page, faults = opened(browser, size, scheme)
            for name in app.PAGES:
                page.goto(f"{origin}/{name}")
                page.wait_for_timeout(150)
                overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
                assert overflow <= 0, f"/{name} is {overflow} px too wide on a {size}"
                assert page.locator("h1").count() == 1
                assert page.locator("nav a[aria-current=page]").count() == 1
                keep(page, f"{name or 'overview'}-{size}-{scheme}")
            page.close()
            assert faults == []


def test_chat_streams_and_stops(browser: Browser, origin: str) -> None:
    """An answer appears while it is written; the stop button ends it; the conversation goes on; all is counted."""
    page, faults = opened(browser, "desktop", "light")
    page.goto(f"{origin}/chat")
    expect(page.locator("#model")).to_be_enabled()
    page.fill("#said", "How do I make a limited supply last?")
    page.keyboard.press("Enter")
    expect(page.locator(".it")).to_have_text(re.compile(r"(\S+ ){3}"))
    first = page.locator(".it").inner_text()
    page.wait_for_selector("#stop", state="hidden")
    assert len(page.locator(".it").inner_text()) > len(first)
    assert "written" in page.locator("#spent").inner_text()
    keep(page, "chat-answer")

    page.fill("#said", "Tell me more. " * 40)
    page.click("#send")
    expect(page.locator(".it").nth(1)).to_have_text(re.compile(r".{20}"))
    page.click("#stop")
    page.wait_for_selector(".it.stopped")
    assert page.locator(".you").count() == 2

    page.goto(f"{origin}/usage")
    expect(page.locator("tbody")).to_contain_text("console")
    page.close()
    assert [f for f in faults if "ERR_ABORTED" not in f] == []  # what we stopped ourselves


def test_running_is_live(browser: Browser, origin: str, history: Path) -> None:
    """What runs is shown with its state, and a log opens and stays open while the page renews itself."""
    page, faults = opened(browser, "desktop", "light")
    page.goto(f"{origin}/running")
    expect(page.locator(".tasks .state.ready")).to_have_count(4, timeout=20_000)
    page.locator("#task-service summary").click()
    page.wait_for_selector("#task-service details[open]")
    expect(page.locator("#task-service details div")).not_to_have_text("…", timeout=20_000)
    with (history / "logs" / "service.log").open("a") as log:
        log.write("a new line in the log\n")
    expect(page.locator("#task-service details")).to_contain_text("a new line in the log", timeout=20_000)
    assert page.locator("#task-service details[open]").count() == 1
    page.close()
    assert faults == []


def test_a_real_plan_fits_the_page(browser: Browser, origin: str, history: Path) -> None:
    """The plan of the example fleet, made now, stands on its page with every pool and workload: the README's picture."""
    plan = make(load(PICTURES.parent / "examples" / "mixed-fleet.yaml"))
    plan.write(history / "plan.json")
    page, faults = opened(browser, "desktop", "light")
    page.goto(f"{origin}/plan")
    words = page.locator("main").inner_text()
    assert {p.name for p in plan.pools} | {w.name for w in plan.workloads} <= set(re.findall(r"[\w-]+", words))
    assert "PFLOP/s" in words
    if os.environ.get("EKE_SAVE_PICTURES"):
        page.screenshot(path=PICTURES / "console.png")
    page.close()
    assert faults == []


def test_keyboard_and_words(browser: Browser, origin: str) -> None:
    """The first stop of the keyboard leads past the navigation; every control and picture has a name."""
    page, _ = opened(browser, "desktop", "light")
    for name in app.PAGES:
        page.goto(f"{origin}/{name}")
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        unnamed = page.evaluate(
            """[...document.querySelectorAll('svg, select, textarea, button, [role=region]')].filter((e) =>
              !(e.getAttribute('aria-label') || e.labels?.length || e.textContent.trim())).map((e) => e.outerHTML)"""
        )
        assert unnamed == []
    page.close()


def keep(page: Page, name: str) -> None:
    """Save a picture where $EKE_SAVE_PICTURES says (a folder)."""
    where = os.environ.get("EKE_SAVE_PICTURES")
    if not where:
        return
    if Path(where).is_dir():
        page.screenshot(path=Path(where) / f"{name}.png", full_page=True)


def test_the_status_a_script_reads(origin: str) -> None:
    """What the page shows as running, /api/status says too."""
    with urllib.request.urlopen(f"{origin}/api/status") as response:
        document = json.load(response)
    assert {t["name"] for t in document["tasks"]} == {
        "service",
        "customer-answers-0",
        "customer-answers-1",
        "hunyuan-next",
    }
