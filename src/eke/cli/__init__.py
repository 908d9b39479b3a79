"""The command line: one file a verb. It asks the floors below and prints; it computes nothing itself.

Verbs import the floors they need when they run, so that `eke --help` answers at once.
"""

from __future__ import annotations

import sys
from importlib import import_module

import typer
from rich.markup import escape

from eke.cli.output import talk
from eke.errors import EkeError

# verb → what it is; `eke.cli.<verb>` holds either `app` (verbs of its own) or a function of the verb's name.
VERBS = (
    "doctor", "fleet", "models", "calibrate", "estimate", "plan",
    "up", "status", "down", "serve", "train", "app", "usage",
)  # fmt: skip

root = typer.Typer(
    name="eke",
    help="Make the accelerators you own last.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _register() -> None:
    for verb in VERBS:
        module = import_module(f"eke.cli.{verb}")
        if (group := getattr(module, "app", None)) is not None:
            root.add_typer(group, name=verb)
        else:
            root.command(name=verb)(getattr(module, verb))


def main() -> None:
    """Run the command line; errors become one message and an exit status."""
    _register()
    try:
        root()
    except EkeError as error:
        talk.print(f"[red bold]error[/] {escape(error.what)}", soft_wrap=True)
        for label, text in (("why", error.why), ("try", error.remedy)):
            if text:
                talk.print(f"  [bold]{label}[/] {escape(text)}", soft_wrap=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
