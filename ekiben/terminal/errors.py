"""What goes wrong in a way the user can mend."""

from __future__ import annotations


class EkibenError(Exception):
    """A failure told in one line: what went wrong, where, and how to mend it. Exit code 1."""


class UsageError(EkibenError):
    """The command was called in a way that cannot work. Exit code 2."""
