"""A model service that calls itself 1.0: `python -m tests.proofs.attacks.same_tag VERSION PORT`."""

from __future__ import annotations

from tests.proofs.attacks.service import SharedTag
from tests.proofs.faults.service import main

if __name__ == "__main__":
    main(SharedTag)
