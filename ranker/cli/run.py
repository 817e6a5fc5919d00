"""Arguments, and what becomes of errors."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version

from features.errors import RankerError
from ranker.cli import commands


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments without the name of the program; those of the process by default.

    Returns
    -------
    int
        0, or 1 where ``doctor`` found a fault, 2 after an error that the user can mend (argparse
        exits with 2 as well), 130 after an interrupt.
    """
    arguments = vars(_parser().parse_args(argv))
    command = arguments.pop("command")
    try:
        with _quiet(arguments["quiet"]):
            return int(command(**arguments))
    except RankerError as error:
        print(f"ranker: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("ranker: interrupted", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ranker", description="Two-stage recommendations: candidates, features, LambdaRank."
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {_version()}")
    _add_quiet(parser, default=False)
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    demo = _add(subparsers, "demo", commands.demo, "the main job on real data, end to end")
    demo.add_argument(
        "--output", metavar="DIR", default="ranker-demo", help="folder to write to (%(default)s)"
    )
    demo.add_argument("--random-state", metavar="N", type=int, default=0, help="seed (%(default)s)")

    init = _add(subparsers, "init", commands.init, "write an example configuration")
    init.add_argument("path", metavar="PATH", nargs="?", default="ranker.toml")

    doctor = _add(
        subparsers, "doctor", commands.doctor, "check the tables before anything is fitted"
    )
    doctor.add_argument("config", metavar="CONFIG")
    doctor.add_argument(
        "--json", dest="as_json", action="store_true", help="one JSON object, for programs"
    )

    for name, command, text in (
        ("fit", commands.fit, "fit on all interactions and save the model"),
        ("evaluate", commands.evaluate, "hold out the newest interactions, fit on the rest, judge"),
        ("export", commands.export, "write the lists of many users with the saved model"),
    ):
        _add(subparsers, name, command, text).add_argument("config", metavar="CONFIG")

    back = _add(subparsers, "rollback", commands.rollback, "serve a former model again")
    back.add_argument("model", metavar="MODEL", help="folder that `ranker fit` saved to")
    back.add_argument(
        "--to", metavar="VERSION", help="its name or number; the one before by default"
    )

    recommend = _add(subparsers, "recommend", commands.recommend, "print the list of one user")
    recommend.add_argument("model", metavar="MODEL", help="folder that `ranker fit` saved to")
    recommend.add_argument("--user", metavar="ID", required=True)
    recommend.add_argument("-k", type=int, default=10, help="length of the list (%(default)s)")
    recommend.add_argument(
        "--include-seen", action="store_true", help="also items that the user has had"
    )
    return parser


def _add(
    subparsers: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    command: commands.Command,
    text: str,
) -> argparse.ArgumentParser:
    parser = subparsers.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
    # Suppressed, or the default here would undo `ranker --quiet fit`.
    _add_quiet(parser, default=argparse.SUPPRESS)
    parser.set_defaults(command=command)
    return parser


def _add_quiet(parser: argparse.ArgumentParser, *, default: object) -> None:
    parser.add_argument(
        "--quiet", action="store_true", default=default, help="results only, no progress"
    )


def _version() -> str:
    try:
        return version("twostage-ranker")
    except PackageNotFoundError:
        return "unknown (not installed)"


@contextmanager
def _quiet(quiet: bool) -> Iterator[None]:
    before = os.environ.get("RANKER_QUIET")
    if quiet:
        os.environ["RANKER_QUIET"] = "1"  # read by ranker.progress
    try:
        yield
    finally:
        if before is not None:
            os.environ["RANKER_QUIET"] = before
        elif quiet:
            del os.environ["RANKER_QUIET"]
