"""A peer's own environment, made once under the temp folder by pip; nothing of it touches ours."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import venv
from pathlib import Path


def python(name: str, packages: tuple[str, ...]) -> Path:
    """The interpreter of the environment that holds `packages`; made where it is missing (minutes)."""
    home = Path(tempfile.gettempdir()) / "eke-peers" / name
    ready = home / "ready"
    if not ready.exists() or ready.read_text(encoding="utf-8") != " ".join(packages):
        print(f"making {home} for {', '.join(packages)}", file=sys.stderr)
        venv.create(home, with_pip=True, clear=True)
        subprocess.run([home / "bin" / "python", "-m", "pip", "install", "-q", *packages], check=True)
        ready.write_text(" ".join(packages), encoding="utf-8")
    return home / "bin" / "python"
