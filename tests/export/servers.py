"""Real servers on loopback for tests, each on a free port and in a folder of its own."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

# A space and signs that mean something in a URL: what a password may look like.
PASSWORD = "s3 cr/et@pw"
QUOTED = "s3%20cr%2Fet%40pw"
_NOBODY = 65534


@contextmanager
def postgres() -> Iterator[str]:
    """A PostgreSQL server; yields its URL, password included."""
    bins = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb")) or [
        Path(found) for found in [shutil.which("initdb")] if found
    ]
    if not bins:
        pytest.skip("there is no PostgreSQL server here (Debian: apt-get install postgresql)")
    with _folder() as folder:
        (folder / "password").write_text(PASSWORD)
        _give_away(folder / "password")
        _as_nobody(
            [
                *(bins[-1], "-D", folder / "data", "-U", "owner", "-A", "scram-sha-256"),
                *(f"--pwfile={folder / 'password'}", "--no-sync", "-E", "UTF8"),
            ]
        )
        port = free_port()
        settings = ["listen_addresses=127.0.0.1", f"port={port}", "unix_socket_directories="]
        options = [part for one in (*settings, "fsync=off") for part in ("-c", one)]
        command = [bins[-1].with_name("postgres"), "-D", folder / "data", *options]
        # It listens before it lets anybody in.
        asked = [bins[-1].with_name("pg_isready"), "-q", "-h", "127.0.0.1", "-p", port]
        with _running(command, folder, lambda: not _status(asked)):
            yield f"postgresql://owner:{QUOTED}@127.0.0.1:{port}/postgres"


@contextmanager
def redis() -> Iterator[str]:
    """A Redis server; yields its URL, password included."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("there is no Redis server here (Debian: apt-get install redis-server)")
    with _folder() as folder:
        port = free_port()
        # By a file: a password on the command line is everybody's to see.
        (folder / "redis.conf").write_text(
            f'bind 127.0.0.1\nport {port}\nrequirepass "{PASSWORD}"\nsave ""\ndir {folder}\n'
        )
        _give_away(folder / "redis.conf")
        with _running([program, folder / "redis.conf"], folder, lambda: _listens(port)):
            yield f"redis://:{QUOTED}@127.0.0.1:{port}/0"


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextmanager
def _folder() -> Iterator[Path]:
    # Not pytest's: its parents let nobody but their owner through.
    folder = Path(tempfile.mkdtemp(prefix="ranker-server-"))
    _give_away(folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _give_away(path: Path) -> None:
    if os.geteuid() == 0:
        os.chown(path, _NOBODY, _NOBODY)


def _identity() -> dict[str, object]:
    # initdb refuses to run as root.
    if os.geteuid() == 0:
        return {"user": _NOBODY, "group": _NOBODY, "extra_groups": []}
    return {}


def _as_nobody(command: list[object]) -> None:
    done = subprocess.run(
        list(map(str, command)),
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
        **_identity(),  # type: ignore[call-overload]
    )
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed: {done.stderr}")


@contextmanager
def _running(command: list[object], folder: Path, ready: Callable[[], bool]) -> Iterator[None]:
    log = folder / "log"
    with log.open("wb") as file:
        server = subprocess.Popen(
            list(map(str, command)),
            cwd="/",
            stdout=file,
            stderr=file,
            **_identity(),  # type: ignore[call-overload]
        )
    try:
        _wait_until(ready, lambda: server.poll() is None, log)
        yield
    finally:
        server.terminate()
        try:
            server.wait(timeout=10)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _status(command: list[object]) -> int:
    return subprocess.run(list(map(str, command)), check=False).returncode


def _listens(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


def _wait_until(ready: Callable[[], bool], alive: Callable[[], bool], log: Path) -> None:
    deadline = time.monotonic() + 30
    while not ready():
        if not alive() or time.monotonic() > deadline:
            raise RuntimeError(f"the server did not start: {log.read_text()}")
        time.sleep(0.02)


if __name__ == "__main__":  # a server to try things on: python -m tests.export.servers postgres
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # the server ends with this process
    with {"postgres": postgres, "redis": redis}[sys.argv[1]]() as url:
        print(url, flush=True)
        time.sleep(3600)
