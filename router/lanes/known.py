"""What a worker knows of a version, and the calls that it may spend on finding out more."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from ekiben.experiments.version import UNVERSIONED
from router.lanes.answer import UNKNOWN_OUTPUT, OutputFields

# A retry may cost at most this share of all calls, beyond a reserve for the first ones.
_RETRY_SHARE: Final = 0.1
_RETRY_RESERVE: Final = 10.0


class RetryBudget:
    """Calls beyond the first of each batch: a tenth of all calls, and ten in reserve."""

    def __init__(self) -> None:
        self._left = _RETRY_RESERVE

    def earn(self) -> None:
        """A batch is called for."""
        self._left = min(_RETRY_RESERVE, self._left + _RETRY_SHARE)

    @property
    def is_spent(self) -> bool:
        """Whether there is no further call left."""
        return self._left < 1.0

    def spend(self, calls: int = 1) -> bool:
        """Take so many further calls, if there are as many, and none otherwise."""
        enough = self._left >= calls
        self._left -= calls * enough
        return enough


@dataclass(slots=True)
class Known:
    """What the lanes, the calls and the probes of one version share in a worker.

    Probes and answers write here what the version says it is, and every lane of the version reads it here.
    `good_rows` is shared by the versions of a model. It holds, by version, the row that was answered last.
    """

    clock: Callable[[], float]
    version: str
    good_rows: dict[str, bytes]
    model_version: str | None = None
    """The tag that answers are looked up by; None until the version has told it, and where it tells none."""
    output: OutputFields = UNKNOWN_OUTPUT
    is_alone: bool = True
    """The version has one endpoint only: nobody else can be asked when it fails."""
    retries: RetryBudget = field(default_factory=RetryBudget)
    searches: int = 0
    """How many attempts look for guilty rows now."""

    def answered(self, row: bytes, model_version: str) -> None:
        """The version has answered `row`."""
        self.saw(model_version)
        self.good_rows[self.version] = row

    def saw(self, model_version: str) -> None:
        """The version has told what it serves."""
        self.model_version = None if model_version == UNVERSIONED else model_version

    def good_row(self) -> bytes | None:
        """A row that is known to be good, best one that this version itself has answered."""
        own = self.good_rows.get(self.version)
        return own if own is not None else next(iter(self.good_rows.values()), None)
