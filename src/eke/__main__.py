"""`python -m eke` is `eke`. It imports nothing before it can answer Ctrl-C."""

import sys


def main() -> None:
    """Run the command line; interrupted while it loads, leave as quietly as later."""
    try:
        from eke.cli import main as run

        run()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
