"""What a metric with `only_where` compares: the requests on which two versions differ, and its checks."""

from __future__ import annotations

import msgspec

from ekiben.experiments.reports.effect import Effect


class Requests(msgspec.Struct, frozen=True):
    """The users of one variant, and their requests that were answered."""

    variant: str
    users: int = 0
    requests: int = 0
    both: int = 0  # of the requests: answered by both versions
    differing: int = 0  # of those: on which the versions differ
    lacking: int = 0  # users with a request that lacks an answer
    met: int = 0  # users with a request on which the versions differ

    @property
    def share(self) -> float | None:
        """The share of requests with both answers, None without requests."""
        return self.both / self.requests if self.requests else None

    @property
    def differing_share(self) -> float | None:
        """The share of requests with both answers on which the versions differ."""
        return self.differing / self.both if self.both else None


class Differing(msgspec.Struct, frozen=True):
    """One treatment beside the control on the requests on which their versions differ, with its checks.

    The metric's effect is `effect`, or `ordinary` where there is `carry_over`.
    """

    control: Requests
    treatment: Requests
    effect: Effect  # of the requests on which the versions differ, over all assigned users
    agreeing: Effect  # of those on which they agree: about 0, or something carries over
    ordinary: Effect  # of all requests
    answers_p_value: float  # anytime-valid: as large a share of users lacks an answer in both variants
    triggers_p_value: float  # as large a share met a request on which the versions differ
    answers_missing: bool
    triggers_differ: bool
    carry_over: bool

    @property
    def users(self) -> int:
        """Of both variants."""
        return self.control.users + self.treatment.users

    @property
    def met(self) -> int:
        """The users of both who met a request on which the versions differ."""
        return self.control.met + self.treatment.met
