"""Arguments, and what becomes of errors."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from features.errors import RankerError
from ranker.cli import benchmarks, commands, exports
from ranker.cli.logs import FORMATS, logged
from ranker.distribution import package_version

logger = logging.getLogger(__name__)

_EXIT_CODES = (
    "Exit codes: 0 done; 1 `doctor` or `export --verify` found a fault, or a protocol of "
    "`benchmark` failed; 2 an error, told on standard error; 130 interrupted."
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments without the name of the program; those of the process by default.

    Returns
    -------
    int
        0, or 1 where ``doctor`` or ``export --verify`` found a fault or a protocol of
        ``benchmark`` failed, 2 after an error that the user can mend (argparse exits with 2 as
        well), 130 after an interrupt.
    """
    arguments = vars(_parser().parse_args(argv))
    command, log_format = arguments.pop("command"), arguments.pop("log_format")
    with logged(log_format):
        try:
            # Bars between lines of JSON would be no JSON.
            with _quiet(arguments["quiet"] or log_format == "json"):
                return int(command(**arguments))
        except RankerError as error:
            if arguments.get("json"):
                commands.print_json({"error": str(error)})
            logger.error("%s", error)
            return 2
        except BrokenPipeError:  # whoever read the output has had enough, such as `head`
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0
        except KeyboardInterrupt:
            logger.error("interrupted")
            return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ranker",
        description="Two-stage recommendations: candidates, features, LambdaRank.",
        epilog=_EXIT_CODES,
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {package_version()}")
    _add_output(parser, quiet=False, log_format="text")
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
    _add_json(doctor)

    for name, command, text in (
        ("fit", commands.fit, "fit on all interactions and save the model"),
        ("evaluate", commands.evaluate, "hold out the newest interactions, fit on the rest, judge"),
    ):
        added = _add(subparsers, name, command, text)
        added.add_argument("config", metavar="CONFIG")
        if name == "evaluate":
            added.add_argument(
                "--report", metavar="FILE", help="also write a page about it: one HTML file"
            )

    export = _add(subparsers, "export", exports.export, "write the lists of many users, or check")
    export.add_argument("config", metavar="CONFIG", nargs="?", help="whose [export] is written")
    export.add_argument("--verify", metavar="DIR", help="only read an export again, every byte")
    export.add_argument("--format", metavar="F", help="parquet, parquet-lists, ndjson or arrow")
    export.add_argument("--max-memory", metavar="SIZE", help="what to stay below, such as 4GB")
    _add_json(export)

    publish = _add(subparsers, "publish", exports.publish, "put an export into a store")
    publish.add_argument("folder", metavar="DIR", help="a finished export")
    publish.add_argument(
        "--to",
        metavar="ADDRESS",
        help="postgresql://..., redis://... or delta:FOLDER; by default, and better where a "
        f"password stands in it, ${exports.PUBLISH_TO}",
    )
    publish.add_argument(
        "--name", help="view in PostgreSQL, beginning of keys in Redis (recommendations)"
    )
    _add_json(publish)
    _add_benchmark(subparsers)

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


def _add_benchmark(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    benchmark = _add(
        subparsers,
        "benchmark",
        benchmarks.benchmark,
        "protocols, our figures beside those of others",
    )
    benchmark.add_argument("names", metavar="NAME", nargs="*", help="protocols; all by default")
    benchmark.add_argument(
        "--data", metavar="DIR", help="holds a folder for each data set (default: $RANKER_DATA)"
    )
    benchmark.add_argument("--preset", default="balanced", help="of the engine (%(default)s)")
    benchmark.add_argument(
        "--random-state",
        "--seed",
        dest="seed",
        metavar="N",
        type=int,
        default=0,
        help="(%(default)s)",
    )
    benchmark.add_argument("--output", metavar="FILE", help="write all figures there as JSON")
    benchmark.add_argument("--list", action="store_true", help="print the protocols, run nothing")


def _add(
    subparsers: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    command: commands.Command,
    text: str,
) -> argparse.ArgumentParser:
    parser = subparsers.add_parser(
        name, help=text, description=f"{text[0].upper()}{text[1:]}.", epilog=_EXIT_CODES
    )
    # Suppressed, or the default here would undo `ranker --quiet fit`.
    _add_output(parser, quiet=argparse.SUPPRESS, log_format=argparse.SUPPRESS)
    parser.set_defaults(command=command)
    return parser


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--json", action="store_true", help="one JSON object on standard output, for schedulers"
    )


def _add_output(parser: argparse.ArgumentParser, *, quiet: object, log_format: object) -> None:
    parser.add_argument(
        "--quiet", action="store_true", default=quiet, help="results only, no progress"
    )
    parser.add_argument(
        "--log-format",
        choices=FORMATS,
        default=log_format,
        help="of warnings and errors on standard error (text)",
    )


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
