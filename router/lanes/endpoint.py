"""One endpoint of a version, and what this worker has seen of it."""

from __future__ import annotations

import math

from router.lanes.breaker import Breaker
from router.lanes.dialects.dialect import ServiceInfo
from router.lanes.service import ModelService


class Endpoint:
    """One replica of a version's model service. `given` is the URL in the experiments that led to it."""

    def __init__(self, url: str, service: ModelService, given: str | None = None) -> None:
        self.url = url
        self.given = given or url
        self.service = service
        self.breaker = Breaker(max_cool_down_s=5.0, return_s=2.0)
        self.in_flight = 0
        self.worked_at = -math.inf
        """When it last answered or refused a row."""
        self.info: ServiceInfo | None = None
        self.last_error: str | None = None
        self.reached = False
