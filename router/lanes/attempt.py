"""One attempt at one endpoint, and whose failure it is if there is one: the endpoint's, or some rows'."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from router.errors import (
    BulkFailed,
    BulkRefused,
    DeadlinePassed,
    RowNotTried,
    RowRefused,
    VersionFailed,
    VersionUnavailable,
)
from router.lanes.answer import Answer, OutputFields, Row, read_item

if TYPE_CHECKING:
    from router.lanes.endpoints import Endpoint

LEAST_TIME_S: Final = 0.001
_LATELY_S: Final = 0.5
_TOGETHER: Final = 8
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

    def spend(self) -> bool:
        """Take one further call, if there is one."""
        if self.is_spent:
            return False
        self._left -= 1.0
        return True


@dataclass(slots=True)
class Common:
    """What the attempts of one version have in common.

    `good_rows` is shared by the versions of a model: of each, by name, the row that it answered last.
    """

    clock: Callable[[], float]
    version: str
    good_rows: dict[str, bytes]
    is_alone: bool = True
    """The version has one endpoint only: whoever is to blame for a failure, nobody else can be asked."""
    retries: RetryBudget = field(default_factory=RetryBudget)
    searches: int = 0
    """How many attempts look for guilty rows now."""

    def good_row(self) -> bytes | None:
        """A row that is known to be good, best one that this version itself has answered."""
        own = self.good_rows.get(self.version)
        return own if own is not None else next(iter(self.good_rows.values()), None)


class Attempt:
    """Asks one endpoint. There are five cases.

    1. A row is answered or refused: the endpoint works. Rows that fail beside it are to blame.
    2. The call is refused as a whole: the endpoint works, and the rows are asked for in parts.
    3. The endpoint cannot be reached, is late, or says that it cannot: it has failed (`VersionFailed`).
    4. A row was not tried, because the service looked for guilty ones beside it: it is asked for again.
    5. The call fails as a whole, or every row of it does. The rows may be to blame, or the endpoint. A part
       that is answered speaks for the endpoint, and for the only endpoint of a version so does any answer of
       the last 0.5 s. (Of several, one that began to fail just now would cost rows the answer of another.) If
       nothing does, it is asked for a row that is known to be good, and if it fails on that one too, it has
       failed. Where no row is known, nobody is blamed, and the rows are tried elsewhere if they can be.

    The first try, and what may still show that the endpoint has failed, end at `until`. The search for guilty
    rows at an endpoint that works goes on until `deadline`. A further call may have little time left, and is
    then nobody's failure.
    """

    def __init__(
        self,
        common: Common,
        endpoint: Endpoint,
        until: float,
        deadline: float,
        output: OutputFields,
        parents: Sequence[bytes],
        searching: Callable[[], None],
    ) -> None:
        self._common = common
        self._endpoint = endpoint
        self._until = until
        self._deadline = deadline
        self._output = output
        self._parents = parents
        self._searching = searching
        self._works = False
        self._fair_s = (until - common.clock()) / 2

    async def ask(self, rows: Sequence[bytes]) -> list[Row]:
        """What became of each row. Raises `VersionFailed` when the endpoint is to blame."""
        try:
            found = await self._call(rows)
        except (BulkFailed, BulkRefused) as whole:
            with self._search_goes_on():
                found = await self._search(rows, whole)
            if not self._works and not self._common.is_alone:
                raise VersionUnavailable("no row was answered") from None
            return found
        await self._suspect_unless_it_works()
        if any(isinstance(became, RowNotTried) for became in found):
            with self._search_goes_on():
                await self._ask_again(rows, found)
        return found

    @contextmanager
    def _search_goes_on(self) -> Iterator[None]:
        self._common.searches += 1
        self._searching()
        try:
            yield
        finally:
            self._common.searches -= 1

    async def _ask_again(self, rows: Sequence[bytes], found: list[Row]) -> None:
        """Ask again for the rows that the service had no time for, while that settles some of them."""
        left = [place for place, became in enumerate(found) if isinstance(became, RowNotTried)]
        before = len(rows) + 1
        while 0 < len(left) < before and self._deadline - self._common.clock() > LEAST_TIME_S:
            before = len(left)
            try:
                again = await self._call([rows[place] for place in left])
            except VersionFailed:
                return
            for place, became in zip(left, again, strict=True):
                found[place] = became
            left = [place for place in left if isinstance(found[place], RowNotTried)]

    async def _search(self, rows: Sequence[bytes], whole: BulkFailed | BulkRefused) -> list[Row]:
        """What becomes of each row after the call for all of them failed with `whole`.

        Whatever fails is asked for again in halves, all halves of one size together, until the guilty rows
        stand alone. A row that fails alone keeps that failure. What is given up, because the time is over or
        the endpoint has failed meanwhile, keeps a failure for which another version may answer.
        """
        found: list[Row] = [VersionUnavailable(f"in a call that failed as a whole: {whole}")] * len(rows)
        failed = [(0, len(rows))]
        if len(rows) == 1:
            found[0] = _of_one_row(whole)
            await self._suspect_unless_it_works()
        while halves := [half for start, end in failed for half in _halves(start, end)]:
            failed = []
            for first in range(0, len(halves), _TOGETHER):
                together = halves[first : first + _TOGETHER]
                if not self._may_go_on(len(together)):
                    return found
                answered = await asyncio.gather(*(self._try(rows, half, found) for half in together))
                if None in answered:
                    return found
                failed += [half for half, good in zip(together, answered, strict=True) if good is False]
                if not self._works:
                    await self._suspect()
        return found

    async def _try(self, rows: Sequence[bytes], part: tuple[int, int], found: list[Row]) -> bool | None:
        """Whether the rows of `part` were answered; None: give up. What became of them is in `found`."""
        start, end = part
        try:
            found[start:end] = await self._call(rows[start:end])
        except (BulkFailed, BulkRefused) as error:
            if end - start == 1:
                found[start] = _of_one_row(error)
            return False
        except VersionFailed:
            return None
        return True

    def _may_go_on(self, calls: int) -> bool:
        common = self._common
        if self._deadline - common.clock() <= LEAST_TIME_S:
            return False
        # Nothing is known of a version that has never answered: it may be down, and gets few further calls.
        unknown = not self._works and common.good_row() is None
        return not unknown or all(common.retries.spend() for _ in range(calls))

    async def _suspect_unless_it_works(self) -> None:
        """No row was answered: raise `VersionFailed` when another endpoint may answer them."""
        common = self._common
        if self._works or (common.is_alone and common.clock() - self._endpoint.worked_at < _LATELY_S):
            return
        if common.good_row() is None and not common.is_alone:
            raise VersionUnavailable("no row was answered")
        await self._suspect()

    async def _suspect(self) -> None:
        """Raise `VersionFailed` when the endpoint fails on a row that is known to be good."""
        good = self._common.good_row()
        if good is None:
            return
        try:
            (became,) = await self._call([good])
        except BulkRefused:
            return
        except BulkFailed as error:
            raise self._failed(error) from None
        if not _tells_of_its_row(became):
            raise self._failed(VersionUnavailable(f"on a row that is known to be good: {became}"))

    async def _call(self, rows: Sequence[bytes]) -> list[Row]:
        """One call. Raises `BulkFailed` and `BulkRefused`, for which the rows may be to blame, and any other
        `VersionFailed`, for which the endpoint is. The breaker hears of that, and of every sign that the
        endpoint works.
        """
        endpoint, clock = self._endpoint, self._common.clock
        endpoint.in_flight += 1
        try:
            until = self._deadline if self._works else self._until
            left = max(until - clock(), LEAST_TIME_S)
            answer = await endpoint.service.bulk(rows, left, self._parents)
        except BulkFailed:
            raise
        except BulkRefused:
            self._worked()
            raise
        except DeadlinePassed as error:
            # A further call may have little time left: that is not the endpoint's fault.
            raise (self._failed(error) if left >= self._fair_s else error) from None
        except VersionFailed as error:
            raise self._failed(error) from None
        finally:
            endpoint.in_flight -= 1
        endpoint.reached = True
        found = [read_item(item, answer.model_version, self._output) for item in answer.items]
        for row, became in zip(rows, found, strict=True):
            if _tells_of_its_row(became):
                self._worked()
                if isinstance(became, Answer):
                    self._common.good_rows[self._common.version] = row
                break
        return found

    def _worked(self) -> None:
        self._works = True
        self._endpoint.worked_at = now = self._common.clock()
        self._endpoint.breaker.succeeded(now)

    def _failed(self, error: VersionFailed) -> VersionFailed:
        self._endpoint.last_error = str(error)
        self._endpoint.breaker.failed(self._common.clock())
        return error


def _halves(start: int, end: int) -> list[tuple[int, int]]:
    middle = (start + end) // 2
    return [(start, middle), (middle, end)] if end - start > 1 else []


def _tells_of_its_row(became: Row) -> bool:
    """Whether this is what only an endpoint that works says of a row."""
    return isinstance(became, Answer | RowRefused)


def _of_one_row(error: BulkFailed | BulkRefused) -> Row:
    return RowRefused([{"loc": [], "msg": str(error)}]) if isinstance(error, BulkRefused) else error
