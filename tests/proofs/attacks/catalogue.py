"""Every attack of the table, by the file that it is in."""

from __future__ import annotations

from typing import Final

from tests.proofs.attacks import access, documents, files, memory, outcomes, ramps, rows, state, web
from tests.proofs.attacks.attack import Attack

GROUPS: Final[dict[str, tuple[Attack, ...]]] = {
    module.__name__.rpartition(".")[2] + ".py": module.ATTACKS
    for module in (web, access, rows, outcomes, ramps, files, documents, memory, state)
}
