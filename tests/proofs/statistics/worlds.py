"""Worlds with a table of their own: each is simulated in a process of its own and says what it claims."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from tests.proofs.statistics import lateness, paired, selection
from tests.proofs.statistics.claims import Table

TABLES: Final[Mapping[str, Callable[[int], Table]]] = {
    "selection": selection.table,
    "delays": lateness.table,
    "paired": paired.table,
}
"""From a seed to the table, by its name."""
