"""Logs: JSON lines on standard output, or lines for people. Never features, answers or user ids.

What `extra={"fields": {…}}` gives becomes part of the JSON line: a request's id, its trace, its version.
"""

from __future__ import annotations

import io
import logging
import sys
from datetime import UTC, datetime

import orjson

from ekiben.process.printable import printable


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """The line of `record`."""
        line: dict[str, object] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "pid": record.process,
            "message": record.getMessage(),
        }
        line.update(getattr(record, "fields", {}))
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str).decode()


class _LineFormatter(logging.Formatter):
    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        # A service's answer or a path may hold what would control the terminal.
        return printable(super().formatMessage(record))


def configure_logs(log_format: str, level: str) -> None:
    """Send everything that is logged to standard output, as `json` or for the `console`."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # no line is lost where it is not UTF-8
    handler = logging.StreamHandler(sys.stdout)
    if log_format == "json":
        handler.setFormatter(JsonFormatter())
    else:
        handler.setFormatter(_LineFormatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
