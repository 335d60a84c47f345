"""What a model cannot be published for."""

from __future__ import annotations

import sys
from types import TracebackType


class PublishingError(Exception):
    """The model was not published. The message is one line that says why and what to do."""


def _tell(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Show a `PublishingError` that nobody catches, in a training script, as its one line."""
    if isinstance(error, PublishingError):
        sys.stderr.write(f"not published: {error}\n")
    else:
        _before(kind, error, trace)


_before, sys.excepthook = sys.excepthook, _tell
