"""One attempt at one endpoint, and whose failure it is if there is one: the endpoint's, or some rows'."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import msgspec

from router.errors import (
    BulkFailed,
    BulkRefused,
    DeadlinePassed,
    RowNotTried,
    VersionFailed,
    VersionUnavailable,
)
from router.lanes.answer import Answer, Row, is_usable
from router.lanes.endpoint import Endpoint
from router.lanes.known import Known
from router.lanes.search import Search

LEAST_TIME_S: Final = 0.001
_LATELY_S: Final = 0.5


class Batch(msgspec.Struct, frozen=True, gc=False):
    """Rows that are asked for together, by `deadline` (of the clock), whatever number of calls that takes.

    `parents` are the `traceparent`s of the requests that they come from. `searching` is called when guilty
    rows are looked for, since more calls may then be out.
    """

    rows: Sequence[bytes]
    deadline: float
    parents: Sequence[bytes] = ()
    searching: Callable[[], None] = lambda: None


class Attempt:
    """Asks one endpoint for a batch. There are five cases.

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
    rows at an endpoint that works goes on until the batch's deadline. A further call may have little time
    left, and is then nobody's failure.
    """

    def __init__(self, known: Known, endpoint: Endpoint, batch: Batch, until: float) -> None:
        self._known = known
        self._endpoint = endpoint
        self._batch = batch
        self._until = until
        self._works = False
        self._fair_s = (until - known.clock()) / 2

    async def ask(self) -> list[Row]:
        """What became of each row. Raises `VersionFailed` when the endpoint is to blame."""
        try:
            found = await self._call(self._batch.rows)
        except (BulkFailed, BulkRefused) as whole:
            with self._search_goes_on():
                found = await self._search(whole)
            if not self._works and not self._known.is_alone:
                raise VersionUnavailable("no row was answered") from None
            return found
        await self._suspect_unless_it_works()
        if any(isinstance(became, RowNotTried) for became in found):
            with self._search_goes_on():
                await self._ask_again(found)
        return found

    @contextmanager
    def _search_goes_on(self) -> Iterator[None]:
        self._known.searches += 1
        self._batch.searching()
        try:
            yield
        finally:
            self._known.searches -= 1

    async def _ask_again(self, found: list[Row]) -> None:
        """Ask again for the rows that the service had no time for, while that settles some of them."""
        left = [place for place, became in enumerate(found) if isinstance(became, RowNotTried)]
        before = len(found) + 1
        while 0 < len(left) < before and self._batch.deadline - self._known.clock() > LEAST_TIME_S:
            before = len(left)
            try:
                again = await self._call([self._batch.rows[place] for place in left])
            except VersionFailed:
                return
            for place, became in zip(left, again, strict=True):
                found[place] = became
            left = [place for place in left if isinstance(found[place], RowNotTried)]

    async def _search(self, whole: BulkFailed | BulkRefused) -> list[Row]:
        """What becomes of each row after the call for all of them failed with `whole`.

        The search is given up when the time is over or the endpoint has failed meanwhile.
        """
        rows = self._batch.rows
        search = Search(len(rows), whole)
        if len(rows) == 1:
            await self._suspect_unless_it_works()
        while parts := search.take():
            if not self._may_go_on(len(parts)):
                break
            answers = await asyncio.gather(*(self._try(rows[part]) for part in parts))
            for part, became in zip(parts, answers, strict=True):
                if became is not None:
                    search.learn(part, became)
            if None in answers:
                break
            if not self._works:
                await self._suspect()
        return search.found

    async def _try(self, rows: Sequence[bytes]) -> list[Row] | BulkFailed | BulkRefused | None:
        """What became of a part; None when the endpoint is to blame."""
        try:
            return await self._call(rows)
        except (BulkFailed, BulkRefused) as error:
            return error
        except VersionFailed:
            return None

    def _may_go_on(self, calls: int) -> bool:
        known = self._known
        if self._batch.deadline - known.clock() <= LEAST_TIME_S:
            return False
        # Nothing is known of a version that has never answered: it may be down, and gets few further calls.
        unknown = not self._works and known.good_row() is None
        return not unknown or known.retries.spend(calls)

    async def _suspect_unless_it_works(self) -> None:
        """No row was answered: raise `VersionFailed` when another endpoint may answer them."""
        known = self._known
        if self._works or (known.is_alone and known.clock() - self._endpoint.worked_at < _LATELY_S):
            return
        if known.good_row() is None and not known.is_alone:
            raise VersionUnavailable("no row was answered")
        await self._suspect()

    async def _suspect(self) -> None:
        """Raise `VersionFailed` when the endpoint fails on a row that is known to be good."""
        good = self._known.good_row()
        if good is None:
            return
        try:
            (became,) = await self._call([good])
        except BulkRefused:
            return
        except BulkFailed as error:
            raise self._failed(error) from None
        if not is_usable(became):
            raise self._failed(VersionUnavailable(f"on a row that is known to be good: {became}"))

    async def _call(self, rows: Sequence[bytes]) -> list[Row]:
        """One call. Raises `BulkFailed` and `BulkRefused`, for which the rows may be to blame, and any other
        `VersionFailed`, for which the endpoint is. The breaker hears of that, and of every sign that the
        endpoint works.
        """
        endpoint, known = self._endpoint, self._known
        endpoint.in_flight += 1
        try:
            until = self._batch.deadline if self._works else self._until
            left = max(until - known.clock(), LEAST_TIME_S)
            answer = await endpoint.service.bulk(rows, left, known.output, self._batch.parents)
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
        if answer.is_usable:
            self._worked()
        for row, became in zip(rows, answer.rows, strict=True):
            if isinstance(became, Answer):
                known.answered(row, answer.model_version)
                break
        return answer.rows

    def _worked(self) -> None:
        self._works = True
        self._endpoint.worked_at = now = self._known.clock()
        self._endpoint.breaker.succeeded(now)

    def _failed(self, error: VersionFailed) -> VersionFailed:
        self._endpoint.last_error = str(error)
        self._endpoint.breaker.failed(self._known.clock())
        return error
