"""A model service that calls itself 1.0: `python -m tests.proofs.attacks.same_tag VERSION PORT`."""

from __future__ import annotations

from tests.faults.service import main
from tests.proofs.attacks.service import SharedTag

if __name__ == "__main__":
    main(SharedTag)
