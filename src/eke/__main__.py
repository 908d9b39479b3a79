"""`python -m eke` is `eke`."""

from eke.cli import main

main()
