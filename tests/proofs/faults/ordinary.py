"""The station whose treatment is an ordinary BentoML service, as its dialect asks one."""

from __future__ import annotations

import json
import urllib.request
from typing import Any, Final

from tests.proofs.faults.answered import Expected
from tests.proofs.faults.answers import LIVE, TREATMENT, model_version
from tests.proofs.faults.catalogue import Fault, service_faults
from tests.proofs.faults.processes import wait_until
from tests.proofs.faults.station import EXPERIMENT, Station

FAULTS: Final[tuple[Fault, ...]] = tuple(
    service_faults("treatment, an ordinary BentoML service", "treatment")
)


class OrdinaryStation(Station):
    """A station whose treatment is asked at `/classify`, with an array of rows as the argument `rows`."""

    treatment: Final = {
        "dialect": {"kind": "bentoml", "path": "/classify", "argument": "rows"},
        "output": {"score": "score", "decision": "decision"},
    }

    def expected(self) -> Expected:
        """What has to come back: the treatment's model version is what the router makes of its pages."""
        found: list[str] = []

        def is_told() -> bool:
            with urllib.request.urlopen(f"{self.url}/models/credit", timeout=10.0) as answer:
                told: dict[str, Any] = json.load(answer)["versions"][TREATMENT]
            found.append((told["info"] or {}).get("model_version", ""))
            return bool(found[-1])

        wait_until(is_told, "the router does not know the treatment's model version")
        return Expected(EXPERIMENT, tags={LIVE: model_version(LIVE), TREATMENT: found[-1]})
