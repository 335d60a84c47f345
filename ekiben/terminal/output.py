"""What commands print: it can always be written, and never controls the terminal.

1. Standard output and error take every character. What their encoding lacks is written as plain ASCII.
2. A closed pipe or a full disk stops nothing: a change that was asked for is made. `finish_output` reports
   that something was lost.
3. Text of others (answers, file headers, names) is printed without its control characters: by these
   functions, and by the console of `ekiben.terminal.screen`.
"""

from __future__ import annotations

import codecs
import io
import json
import os
import select
import sys
from typing import Any, Final

from ekiben.process.printable import printable

_PLAIN: Final = "ekiben-plain"
_IN_ASCII: Final = {
    "→": "->",
    "…": "...",
    "\u2013": "-",
    "\u2212": "-",
    "✓": "ok",
    "·": "-",
    "“": '"',
    "”": '"',
}


class _Unfailing(io.RawIOBase):
    """Writes to a file descriptor. After an error it drops what comes, and keeps the error in `failure`."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.failure: OSError | None = None

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return os.isatty(self._descriptor)

    def write(self, data: Any) -> int:
        while self.failure is None:
            try:
                return os.write(self._descriptor, data)
            except BlockingIOError:  # the other end of the pipe made it non-blocking
                select.select([], [self._descriptor], [])
            except OSError as error:
                self.failure = error
        return len(data)


def prepare_output() -> None:
    """Make standard output and error unfailing, for the rest of the process."""
    codecs.register_error(_PLAIN, _plain)
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass  # one of the three was closed: the next file or socket that is opened would take its place
    os.close(descriptor)
    sys.stdout, sys.stderr = _stream(1, sys.stdout), _stream(2, sys.stderr)


def finish_output() -> OSError | None:
    """Write what is left. Returns why standard output has lost something, None when it has not or when its
    reader had seen enough (a closed pipe).
    """
    sys.stdout.flush()
    sys.stderr.flush()
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    failure = raw.failure if isinstance(raw, _Unfailing) else None
    return None if isinstance(failure, BrokenPipeError) else failure


def print_json(value: object) -> None:
    """Print JSON for programs: without control characters, and in ASCII where output is not UTF-8."""
    wide = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    text = json.dumps(value, indent=2, ensure_ascii=not wide)
    safe = "".join(each if printable(each) == each else f"\\u{ord(each):04x}" for each in text)
    sys.stdout.write(f"{safe}\n")


def print_error(message: str) -> None:
    """Print a line to standard error for each line of the message."""
    for line in message.splitlines():
        sys.stderr.write(f"ekiben: {printable(line)}\n")


def _stream(descriptor: int, held: Any) -> io.TextIOWrapper:
    encoding = getattr(held, "encoding", None) or "utf-8"
    raw = _Unfailing(descriptor)
    return io.TextIOWrapper(
        io.BufferedWriter(raw), encoding, errors=_PLAIN, line_buffering=raw.isatty() or descriptor == 2
    )


def _plain(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    written = [
        _IN_ASCII.get(each) or each.encode("ascii", "backslashreplace").decode()
        for each in error.object[error.start : error.end]
    ]
    return "".join(written), error.end
