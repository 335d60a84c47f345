"""What goes wrong in a way that the user can fix."""

from __future__ import annotations


class EkibenError(Exception):
    """A failure in one line: what went wrong, where, and how to fix it. Exit code 1."""


class UsageError(EkibenError):
    """The command was called in a way that cannot work. Exit code 2."""
