"""The command line: one file a verb. It asks the floors below and prints; it computes nothing itself.

Verbs import the floors they need when they run, so that `eke --help` answers at once.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from typer.exceptions import TyperException

from eke import __version__
from eke.cli.output import talk
from eke.errors import EkeError, InputError

if TYPE_CHECKING:
    from collections.abc import Iterable

# verb → what it is; `eke.cli.<verb>` holds either `app` (verbs of its own) or a function of the verb's name.
VERBS = (
    "doctor", "init", "fleet", "models", "calibrate", "estimate", "plan", "explain", "savings", "runway", "worth",
    "report", "up", "status", "down", "serve", "train", "app", "usage",
)  # fmt: skip

root = typer.Typer(
    name="eke",
    help="Make the accelerators you own last.",
    no_args_is_help=True,
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


@root.callback()
def _eke(
    version: Annotated[bool, typer.Option("--version", help="Say which version this is, and exit.")] = False,
) -> None:
    if version:
        typer.echo(f"eke {__version__}")
        raise typer.Exit


def _register(verbs: Iterable[str] = VERBS) -> None:
    for verb in verbs:
        module = import_module(f"eke.cli.{verb}")
        if (group := getattr(module, "app", None)) is not None:
            root.add_typer(group, name=verb)
        else:
            root.command(name=verb)(getattr(module, verb))


def main() -> None:
    """Run the command line; errors become one message and an exit status."""
    try:
        _register([verb for verb in VERBS if verb in sys.argv[1:2]] or VERBS)  # others cost a tenth of a second
        sys.exit(root(prog_name="eke", standalone_mode=False))
    except TyperException as error:
        message = getattr(error, "format_message", error.__str__)()
        _complain(InputError(message, remedy=_help(error)))
    except EkeError as error:
        _complain(error)
    except BrokenPipeError:  # whoever read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:
        why = "it cannot be read or written" if error.filename else ""
        what = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        _complain(EkeError(what, why=why, remedy="check the path and its owner, or set EKE_HOME to a folder you own"))
    except (KeyboardInterrupt, typer.Abort):
        sys.exit(130)


def _help(error: TyperException) -> str:
    """The help of the verb that was called wrongly."""
    context = getattr(error, "ctx", None)
    return f"{context.command_path if context else 'eke'} --help"


def _complain(error: EkeError) -> None:
    talk.print(f"[red bold]error[/] {escape(error.what)}", soft_wrap=True)
    for label, text in (("why", error.why), ("try", error.remedy)):
        if text:
            talk.print(f"  [bold]{label}[/] {escape(text)}", soft_wrap=True)
    sys.exit(error.exit_code)
