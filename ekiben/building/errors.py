"""What cannot be built."""

from __future__ import annotations

from ekiben.terminal.errors import EkibenError


class CannotBuild(EkibenError):
    """A Bento or an image that cannot be built; the message is one line that says why."""
