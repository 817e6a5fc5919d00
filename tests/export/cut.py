"""A network that fails: a proxy on loopback that passes on so many bytes and then nothing more."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit, urlunsplit


@contextmanager
def cut_after(url: str, n_bytes: int) -> Iterator[str]:
    """Yield ``url`` by way of a proxy that dies once clients have sent ``n_bytes``."""
    parts = urlsplit(url)
    listener = socket.create_server(("127.0.0.1", 0))
    left, opened = [n_bytes], [listener]

    def hang_up() -> None:
        for one in opened:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def pump(source: socket.socket, sink: socket.socket, *, counts: bool) -> None:
        with suppress(OSError):
            while data := source.recv(4096):
                if counts:
                    left[0] -= len(data)
                    if left[0] < 0:
                        hang_up()
                        return
                sink.sendall(data)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_WR)

    def accept() -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                server = socket.create_connection((parts.hostname or "", parts.port or 0))
                opened.extend((client, server))
                for ends, counts in (((client, server), True), ((server, client), False)):
                    threading.Thread(
                        target=pump, args=ends, kwargs={"counts": counts}, daemon=True
                    ).start()

    threading.Thread(target=accept, daemon=True).start()
    user, _, _ = parts.netloc.rpartition("@")
    netloc = f"{user}@127.0.0.1:{listener.getsockname()[1]}"
    try:
        yield urlunsplit(parts._replace(netloc=netloc))
    finally:
        hang_up()
