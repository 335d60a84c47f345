"""What ends a benchmark early, in one line."""

from __future__ import annotations


class BenchError(Exception):
    """The benchmark cannot be run, or what it measured would not count."""
