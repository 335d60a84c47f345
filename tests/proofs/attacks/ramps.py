"""Ramps that have nothing to go by."""

from __future__ import annotations

import time
from typing import Any, Final

from tests.proofs.attacks.attack import Attack, Found
from tests.proofs.attacks.installation import Installation
from tests.proofs.attacks.wire import post
from tests.proofs.faults.station import EXPERIMENT

_STEPS: Final = (20.0, 40.0, 60.0, 80.0, 100.0)
_USERS: Final = 300
_QUIET_S: Final = 8.0

_RAMPED: Final[dict[str, Any]] = {
    "coverage": _STEPS[0],
    "request_limits": {"error_rate": 1.0, "fallback_rate": 1.0, "slow_rate": 1.0},
    "ramp": {"steps": list(_STEPS), "every": "1s", "min_users_per_step": 5},
}


def without_traffic(installation: Installation) -> Found:
    """Users come during the first step, and none afterwards."""
    installation.put(installation.document(**_RAMPED, seed=f"ramp-{time.monotonic_ns()}", phase=2))
    for number in range(_USERS):
        body = {"user_id": f"ramp-{number}", "features": {"row": "ramp", "amount": 1}}
        post(installation.port, "/predict/credit", body)
    climbed = installation.comes_true(lambda: _coverage(installation) > _STEPS[0], 15.0)
    time.sleep(_QUIET_S / 2)  # a step that was due for the last of them
    before = _coverage(installation)
    time.sleep(_QUIET_S)
    after = _coverage(installation)
    return Found(
        climbed and after == before < _STEPS[-1],
        f"{before:g} %, and {after:g} % after {_QUIET_S:.0f} s without a request",
    )


def _coverage(installation: Installation) -> float:
    return installation.held().document.experiments[EXPERIMENT].coverage


ATTACKS: Final = (Attack("B1", "a ramp without traffic", "waits", without_traffic),)
