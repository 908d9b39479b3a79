"""The mock fabric: processes that exist only here, and live and die as a test says."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from eke.errors import EkeError
from eke.runtime.base import Handle, Task


@dataclass(frozen=True, slots=True)
class Life:
    """What became of one process: `code` is None while it lives; `asked` once it was asked to end."""

    task: Task
    cpus: tuple[int, ...]
    code: int | None = None
    asked: bool = False


@dataclass
class Mock:
    """Processes in memory.

    Attributes:
        lives: every process ever started.
        stubborn: names of tasks whose processes do not end when asked.
        broken: names of tasks that cannot be started.
    """

    lives: dict[Handle, Life] = field(default_factory=dict)
    stubborn: set[str] = field(default_factory=set)
    broken: set[str] = field(default_factory=set)

    def start(self, task: Task, log: Path, port: int | None, cpus: tuple[int, ...]) -> Handle:  # noqa: ARG002
        """A new life."""
        if task.name in self.broken:
            raise EkeError(f"{task.name} cannot be started")
        handle = Handle(1000 + len(self.lives), float(len(self.lives)), port)
        self.lives[handle] = Life(task, cpus)
        return handle

    def port(self, wish: int) -> int | None:
        """Every port is free."""
        return wish or 20_000 + len(self.lives)

    def alive(self, handle: Handle) -> bool:
        """Whether it lives."""
        return handle in self.lives and self.lives[handle].code is None

    def exit_code(self, handle: Handle) -> int | None:
        """How it ended."""
        return self.lives[handle].code if handle in self.lives else None

    def terminate(self, handle: Handle) -> None:
        """Ask it; a stubborn one lives on."""
        if self.alive(handle):
            life = self.lives[handle]
            code = None if life.task.name in self.stubborn else 75 if life.task.kind == "trainer" else 0
            self.lives[handle] = replace(life, asked=True, code=code)

    def kill(self, handle: Handle) -> None:
        """End it."""
        self.end(handle, -9)

    def strays(self) -> dict[Handle, str]:
        """All that live."""
        return {handle: life.task.name for handle, life in self.lives.items() if life.code is None}

    def end(self, handle: Handle, code: int) -> None:
        """Let it end by itself with exit status `code`."""
        if self.alive(handle):
            self.lives[handle] = replace(self.lives[handle], code=code)
