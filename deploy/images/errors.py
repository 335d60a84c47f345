"""What ends a build."""

from __future__ import annotations


class CannotBuild(Exception):
    """An image that cannot be built; the message is one line that says why."""
