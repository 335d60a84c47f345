"""`skops.io`, imported without torch: all of scikit-learn, which skops walks through, asks for it."""

from __future__ import annotations

import sys
from typing import Any

without: Any = sys.modules.setdefault("torch", None)  # type: ignore[arg-type]  # as if it were not installed
try:
    from skops.io import dumps, get_untrusted_types, loads
finally:
    if without is None:
        del sys.modules["torch"]

__all__ = ["dumps", "get_untrusted_types", "loads"]
