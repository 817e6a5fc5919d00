"""A store of objects on loopback: files of a folder by HTTP with ranges, and as an S3 bucket."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

BUCKET = "ranker-tests"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, *args, folder: Path) -> None:
        self.folder = folder
        super().__init__(*args)

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        asked = parse_qs(url.query)
        name = unquote(url.path).lstrip("/").removeprefix(BUCKET).lstrip("/")
        file = self.folder / name
        if "list-type" in asked:
            self._send(200, self._listing(asked.get("prefix", [""])[0]))
        elif not file.is_file():
            self._send(404, f"<!DOCTYPE html>\n<p>no {self.path}</p>\n".encode())
        else:
            self._send_file(file.read_bytes())

    def _send_file(self, content: bytes) -> None:
        asked = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
        if asked is None:
            self._send(200, content)
            return
        size = len(content)
        begin = int(asked[1]) if asked[1] else max(0, size - int(asked[2]))
        end = min(size, int(asked[2]) + 1) if asked[1] and asked[2] else size
        self._send(206, content[begin:end], f"bytes {begin}-{end - 1}/{size}")

    def _listing(self, prefix: str) -> bytes:
        found = "".join(
            f"<Contents><Key>{file.name}</Key><Size>{file.stat().st_size}</Size><ETag>1</ETag>"
            "<LastModified>2024-01-01T00:00:00.000Z</LastModified></Contents>"
            for file in sorted(self.folder.iterdir())
            if file.name.startswith(prefix)
        )
        return f"<ListBucketResult><Name>{BUCKET}</Name>{found}</ListBucketResult>".encode()

    def _send(self, status: int, content: bytes, content_range: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("ETag", '"1"')
        self.send_header("Last-Modified", "Mon, 01 Jan 2024 00:00:00 GMT")
        if content_range:
            self.send_header("Content-Range", content_range)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


@contextmanager
def object_store(folder: Path) -> Iterator[str]:
    """Serve the files of a folder; yields the beginning of their addresses, ``http://host:port``.

    Of S3 it knows what reading needs: objects and lists of them, whoever asks.
    """
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, folder=folder)) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
