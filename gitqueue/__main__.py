"""`python -m gitqueue`."""

from gitqueue.cli import main

main()
