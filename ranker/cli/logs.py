"""What the command line logs to standard error: as text, or as lines of JSON for collectors."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

FORMATS = ("text", "json")


class _JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry)


@contextmanager
def logged(log_format: str) -> Iterator[None]:
    """Send warnings and errors of all libraries to standard error, until the block ends.

    Parameters
    ----------
    log_format : {"text", "json"}
        ``ranker: `` and the message; or an object on a line with ``time`` (ISO 8601, UTC),
        ``level``, ``logger``, ``message`` and, of a logged exception, ``exception``.
    """
    is_json = log_format == "json"
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonLines() if is_json else logging.Formatter("ranker: %(message)s"))
    root = logging.getLogger()
    root.addHandler(handler)
    if is_json:  # as text, Python writes its own warnings with the line they come from
        logging.captureWarnings(capture=True)
    try:
        yield
    finally:
        if is_json:
            logging.captureWarnings(capture=False)
        root.removeHandler(handler)
