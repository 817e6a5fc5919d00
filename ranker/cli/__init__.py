"""The command line: thin calls of the public API."""

from ranker.cli.run import main

__all__ = ["main"]
