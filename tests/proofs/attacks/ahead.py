"""`python -m tests.proofs.attacks.ahead`: a controller whose clock is ATTACKS_DAYS_AHEAD days ahead."""

from __future__ import annotations

import os
import sys
import time

_AHEAD_S = float(os.environ["ATTACKS_DAYS_AHEAD"]) * 86_400
_time = time.time
# Before anything is imported that takes the function for its own.
time.time = lambda: _time() + _AHEAD_S

from ekiben.control.__main__ import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
