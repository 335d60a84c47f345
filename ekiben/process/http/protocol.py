"""The HTTP/1.1 protocol of router and controller: uvicorn's own, with bounds on what a connection may do.

Theory of operation:

1. *Heads.* A connection has `head_timeout_s` to complete a head, its first or a later one, and
   `max_head_bytes` and `max_fields` for it; for trailers as well. Between requests the server's keep-alive
   time-out holds. Requests that are sent before others are answered wait, up to `max_waiting` of them: one
   read can hold thousands.
2. *What a header is.* A field in the head. What follows a chunked body (trailers, RFC 9110 6.5.1) is read and
   dropped, or it could stand in for a key or a user that a proxy has checked in the head.
3. *Where a body ends.* A request is refused where somebody in front could see another end than we do, or
   another host: a coding below `chunked`, framing that is given twice, no `Host` or several.
4. *Last words.* What is refused as HTTP is answered by a problem (RFC 9457) after everything before it has
   been answered, and after a moment: who repeats such requests as fast as they are answered takes little
   time from others. Then the connection closes. So it does when the client has said that it will send no
   more: what it asked before is answered. What still arrives is read for a while and dropped, because
   closing a connection with unread bytes takes the last answer away from the client.
5. *Bodies.* The bytes of bodies that are not answered yet count in one budget of the process, where a
   connection has more than `free_bytes` of them: ordinary requests pass, whatever others send. A body that
   finds no room gets 503. One beyond `large_bytes` leaves a quarter to smaller ones.
6. *Clients that do not read.* Little is kept for them, and they have `write_timeout_s` to take it.
7. *Too many connections.* A new one takes the place of those that have waited longest without asking for
   anything. Where all are busy it is refused with 503.

A read of many bytes is parsed over several turns of the event loop, and what is left of all connections takes
turns in it, so that nobody waits for the small chunks or the many heads of others.

One look every `head_timeout_s` at each connection stands in for a timer a request, uvicorn's own keep-alive
timer as well: what is late is closed at the next look.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache, partial
from typing import ClassVar, Final, cast
from urllib.parse import unquote

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser, parse_url
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from ekiben.process.budget import ByteBudget
from ekiben.process.http.refused import Refused, unreadable
from ekiben.process.http.transport import JoinedWrites, JoiningTransport, LeftReads, bound_unread

# A refused client waits so long for its last answer, has so long to read it before the connection is closed,
# and may send so much that is dropped meanwhile.
_REFUSE_S: Final = 0.05
_LINGER_S: Final = 1.0
_LINGER_BYTES: Final = 1024 * 1024
# One read may bring 256 KiB, which as chunks of a byte take 20 ms: a connection has so long at first, looked
# at after each slice, and then again each time that its turn comes.
_SLICES_S: Final = 0.0001
_SLICE_BYTES: Final = 2048
# A client that has taken so much since the last look is slow, and not gone.
_PROGRESS_BYTES: Final = 64 * 1024
# Nearly all requests have one of a few short targets, which are read once.
_KNOWN_BYTES: Final = 256
_ROOM_MADE: Final = 16
_SMALL_BYTES: Final = 16
_REASONS: Final = {431: "head_large", 503: "bodies_full"}


class BoundedProtocol(HttpToolsProtocol):
    """One connection. The numbers may be set on a subclass."""

    cycle_type: ClassVar[type[RequestResponseCycle]] = RequestResponseCycle
    head_timeout_s: ClassVar[float] = 10.0
    write_timeout_s: ClassVar[float] = 30.0
    max_head_bytes: ClassVar[int] = 64 * 1024
    max_url_bytes: ClassVar[int] = 8 * 1024
    max_fields: ClassVar[int] = 128
    max_waiting: ClassVar[int] = 64
    # Far more than the largest body that can be allowed: chunks of one byte take six.
    max_request_bytes: ClassVar[int] = 32 * 1024 * 1024
    # So many pieces a body may come in however small they are; with more, they have 16 bytes on average.
    max_small_pieces: ClassVar[int] = 4096
    free_bytes: ClassVar[int] = 4096
    large_bytes: ClassVar[int] = 64 * 1024
    bodies: ClassVar[ByteBudget] = ByteBudget(64 * 1024 * 1024)
    """The bytes of bodies that the connections of this process may hold together."""
    ended: ClassVar[Counter[str]] = Counter()
    """Connections of this process that were ended early, by reason: `head_late`, `head_large`, `body_large`,
    `not_http`, `not_read`, `no_room`, `bodies_full`."""

    _head_due: float | None = None
    # Finer than uvloop's own time, which is whole milliseconds: of many it is to be known who waited longest.
    _idle_from = 0.0
    _write_due: float | None = None
    _unread = 0
    _look: asyncio.TimerHandle | None = None
    _end_timer: asyncio.TimerHandle | None = None
    _taken = 0
    # Of them those since the last of a body, or since the head began.
    _bodyless = 0
    # Bytes of bodies that are not answered yet, and so many of them in the budget.
    _body_bytes = 0
    _charged = 0
    # Pieces of the body that is being read, and its bytes.
    _pieces = 0
    _read_bytes = 0
    _body_only = False
    _framed = False
    _hosts = 0
    # What is to be sent when everything before it has been answered, before the connection closes.
    _last_words: bytes | None = None
    _said = False

    # The connection's life

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Put the joining transport in front of the real one, and start to wait for a head."""
        super().connection_made(
            cast("asyncio.Transport", JoiningTransport(transport, JoinedWrites.of(self.loop)))
        )
        bound_unread(transport, self.write_timeout_s)
        self._idle_from = time.monotonic()
        self._head_due = self._idle_from + self.head_timeout_s
        self._look = self.loop.call_later(self.head_timeout_s, self._look_at_it)
        # uvicorn's own check would refuse requests on connections that are there already.
        most, self.limit_concurrency = self.limit_concurrency, None
        if most is not None and len(self.connections) > most and not self._make_room():
            self.ended["no_room"] += 1
            detail = f"this server holds {most} connections, all of them busy"
            self.transport.write(Refused(503, "overloaded", "Too busy", detail).render())
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing more will come."""
        for timer in (self._look, self._end_timer):
            if timer is not None:
                timer.cancel()
        if isinstance(exc, TimeoutError):
            self.ended["not_read"] += 1
        self._keep_charged(0)
        super().connection_lost(exc)

    @property
    def idle_since(self) -> float | None:
        """Since when (of the loop's time) nothing has been asked; None while something is to be answered."""
        if self.transport.is_closing() or (self.cycle is not None and not self.cycle.response_complete):
            return None
        return self._idle_from

    def _make_room(self) -> bool:
        """Close idle connections where there are any. One look at all of them makes room for many: who opens
        them by the thousand causes few looks.
        """
        return _close_idle(cast("set[BoundedProtocol]", self.connections) - {self})

    def eof_received(self) -> bool:  # type: ignore[override]
        """The client will send no more. Returns whether something is still to be answered."""
        cast("JoiningTransport", self.transport).flush()
        if self._said or not (self._last_words or self._others_wait()):
            return False
        self._last_words = self._last_words or b""
        return True

    def pause_writing(self) -> None:
        """The client does not read as fast as it is answered."""
        super().pause_writing()
        self._await_reading()

    def resume_writing(self) -> None:
        """It has read."""
        self._write_due = None
        super().resume_writing()

    def _await_reading(self) -> None:
        self._unread = self.transport.get_write_buffer_size()
        self._write_due = self.loop.time() + self.write_timeout_s

    def _look_at_it(self) -> None:
        now = self.loop.time()
        closing = self.transport.is_closing()
        if self._write_due is not None and now >= self._write_due:
            if self.transport.get_write_buffer_size() > self._unread - _PROGRESS_BYTES:
                self.ended["not_read"] += 1
                self.transport.abort()
                return
            self._await_reading()
        elif closing and self._write_due is None:
            self._await_reading()
        if not closing:
            if self._head_due is not None and now >= self._head_due:
                if self._taken:
                    self.ended["head_late"] += 1
                self.transport.close()
            elif self._head_due is None and now - (self.idle_since or now) >= self.timeout_keep_alive:
                self.transport.close()
        due_s = self.head_timeout_s if self._write_due is None else self._write_due - now
        self._look = self.loop.call_later(min(self.head_timeout_s, max(due_s, 0.01)), self._look_at_it)

    # Reading

    def data_received(self, data: bytes) -> None:
        """Some bytes of a request, or of several."""
        if len(data) > _SLICE_BYTES and self._last_words is None:
            self._take_slices(memoryview(data))
        else:
            self._take(data)

    def _take(self, data: bytes) -> None:
        self._taken += len(data)
        self._bodyless += len(data)
        if self._last_words is not None:
            if self._taken > _LINGER_BYTES:
                if self._said:
                    self.transport.abort()
                else:
                    self.flow.pause_reading()
            return
        try:
            self._parse(data)
        except HttpParserError as error:
            refused = error.__context__
            if not isinstance(refused, Refused):
                refused = unreadable(f"it is not HTTP/1.1: {error}")
            self.ended[_REASONS.get(refused.status, "not_http")] += 1
            self._say_last(refused)
            return
        if self._bodyless > self.max_head_bytes and (self._head_due is not None or self._framed):
            self.ended["head_large"] += 1
            self._say_last(_too_large(f"{self.max_head_bytes} bytes"))
        elif self._taken > self.max_request_bytes:
            self.ended["body_large"] += 1
            self.transport.abort()

    def _take_slices(self, data: memoryview) -> None:
        end = time.perf_counter() + _SLICES_S
        place = 0
        while place < len(data) and not self.transport.is_closing():
            cycle, pieces = self.cycle, self._pieces
            self._take(bytes(data[place : place + _SLICE_BYTES]))
            place += _SLICE_BYTES
            if time.perf_counter() > end and place < len(data):
                # What is left waits for the next turn, and nothing else is read until then. Unless it is more
                # of a body in one piece, which costs next to nothing, it waits for the rest of others too.
                cast("JoiningTransport", self.transport).hold_reading()
                plain = self._head_due is None and self.cycle is cycle and self._pieces <= pieces + 1
                later = self.loop.call_soon if plain else LeftReads.of(self.loop).add
                later(partial(self._take_slices, data[place:]))
                return
        cast("JoiningTransport", self.transport).release_reading()

    def _parse(self, data: bytes) -> None:
        rest: bytes | memoryview = data
        while True:
            try:
                self.parser.feed_data(rest)
                return
            except HttpParserUpgrade as stopped:
                # uvicorn's parser takes a request that offers an upgrade (Java's client does, to HTTP/2) to
                # have no body, and its body to be the next request. The offer is ignored, as RFC 9110 7.8
                # allows: the parser stopped behind the head, and another goes on with the same framing.
                rest = memoryview(rest)[stopped.args[0] :]
                framing = (b"content-length", b"transfer-encoding")
                lines = [b"%b: %b\r\n" % header for header in self.headers if header[0] in framing]
                self.parser = HttpRequestParser(self)
                self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does
                self._body_only = True
                self.parser.feed_data(b"GET / HTTP/1.1\r\n%b\r\n" % b"".join(lines))

    def _should_upgrade(self) -> bool:
        # Asked only at what the parser takes for the end of a request that offers an upgrade: its body is
        # waited for.
        return True

    def on_url(self, url: bytes) -> None:
        """Some bytes of the target. Raises `Refused`."""
        self.url += url
        if len(self.url) > self.max_url_bytes:
            detail = f"a path with its query may have {self.max_url_bytes} bytes"
            raise Refused(414, "target-too-long", "The path is too long", detail)

    def on_message_begin(self) -> None:
        """The first byte of a head is here."""
        self.url, self.headers, self.expect_100_continue = b"", [], False
        self._taken = self._bodyless = self._hosts = self._pieces = self._read_bytes = 0
        self._framed = False
        if self._head_due is None:
            self._head_due = self.loop.time() + self.head_timeout_s

    def on_header(self, name: bytes, value: bytes) -> None:
        """A field, of the head or behind the body. Raises `Refused`."""
        if self._head_due is None:
            return  # a trailer
        if len(self.headers) >= self.max_fields:
            raise _too_large(f"{self.max_fields} fields")
        name = name.lower()
        if name == b"host":
            self._hosts += 1
        elif name == b"transfer-encoding":
            if self._framed or value.strip().lower() != b"chunked":
                detail = "chunked is the only transfer coding that is taken, once"
                raise Refused(501, "coding-unknown", "The transfer coding is not known", detail)
            self._framed = True
        elif name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """The head is complete. Raises `Refused`."""
        if self._body_only:
            self._body_only = False
            self._head_due = None
            return
        if self._hosts != 1 and (self._hosts or self.parser.get_http_version() != "1.0"):
            raise unreadable("a request has one Host header")
        if len(self.pipeline) >= self.max_waiting:
            detail = f"at most {self.max_waiting} requests may wait on one connection"
            raise Refused(429, "too-many-requests", "Too many requests", detail)
        self._head_due = None
        before, cycle = self.cycle, self._make_cycle()
        self.cycle = cycle
        if before is None or before.response_complete:
            self._start_asgi_task(cycle, self.app)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((cycle, self.app))

    def _make_cycle(self) -> RequestResponseCycle:
        """What uvicorn does with a head, in one place, less what does not concern us."""
        version = self.parser.get_http_version()
        read = _read_known_target if len(self.url) <= _KNOWN_BYTES else _read_target
        path, raw_path, query = read(self.url)
        self.scope = {
            "type": "http",
            "asgi": {"version": self.asgi_version, "spec_version": "2.3"},
            "http_version": version,
            "method": self.parser.get_method().decode("ascii"),
            "server": self.server,
            "client": self.client,
            "scheme": cast("str", self.scheme),
            "root_path": self.root_path,
            "path": self.root_path + path,
            "raw_path": self.root_path.encode("ascii") + raw_path,
            "query_string": query,
            "headers": self.headers,
            "state": self.app_state.copy(),
        }
        return self.cycle_type(
            self.scope,
            self.transport,
            self.flow,
            self.logger,
            self.access_logger,
            self.access_log,
            self.server_state.default_headers,
            asyncio.Event(),
            self.expect_100_continue,
            version != "1.0" and self.parser.should_keep_alive(),
            self.on_response_complete,
        )

    def on_body(self, body: bytes) -> None:
        """Some bytes of a body. Raises `Refused`."""
        self._bodyless = 0
        self._pieces += 1
        self._read_bytes += len(body)
        if self._pieces > self.max_small_pieces and self._read_bytes < self._pieces * _SMALL_BYTES:
            # A piece costs as much as a thousand bytes do.
            raise unreadable(f"the chunks of a body have {_SMALL_BYTES} bytes and more on average")
        cycle = self.cycle
        if not cycle.response_complete:
            self._body_bytes += len(body)
            if self._body_bytes - self._charged > self.free_bytes:
                self._charge(self._body_bytes - self._charged)
            cycle.body += body
            if len(cycle.body) > HIGH_WATER_LIMIT:
                self.flow.pause_reading()
            cycle.message_event.set()

    def _charge(self, size: int) -> None:
        if not self.bodies.take(size, self.bodies.limit // 4 if self._charged > self.large_bytes else 0):
            detail = "the bodies of other requests take all the room that there is"
            raise Refused(503, "overloaded", "Too busy", detail)
        self._charged += size

    def _keep_charged(self, held: int) -> None:
        """Give back what is charged beyond the `held` bytes of bodies that are not answered yet."""
        self._body_bytes = held
        if self._charged > held:
            self.bodies.give(self._charged - held)
            self._charged = held

    # Ending

    def on_response_complete(self) -> None:
        """A response has been handed over: the next one's turn, or the end."""
        self.server_state.total_requests += 1
        if self.pipeline:
            self._keep_charged(sum(len(cycle.body) for cycle, _ in self.pipeline))
            if not self.transport.is_closing():
                self.flow.resume_reading()
                self._start_asgi_task(*self.pipeline.pop())
            return
        self._idle_from = time.monotonic()
        self._body_bytes = 0
        if self._charged:
            self._keep_charged(0)
        if self.transport.is_closing():
            return
        if self._last_words is None:
            self.flow.resume_reading()
        else:
            self._linger_on()

    def _say_last(self, refused: Refused) -> None:
        """Read no more, answer what came before, then this, and close."""
        self._last_words = refused.render()
        self._taken = 0
        self._head_due = None
        if not self._others_wait():
            self._keep_charged(0)
            self._linger_on()

    def _others_wait(self) -> bool:
        """Drop the request whose body is not whole, and return whether any before it waits for its answer."""
        cycle = self.cycle
        if cycle is None or cycle.response_complete:
            return False
        if not cycle.more_body:
            return True
        if self.pipeline:  # the last that came is the one that begins it
            self.pipeline.popleft()
            return True
        cycle.disconnected = True
        cycle.waiting_for_100_continue = False
        cycle.message_event.set()
        if cycle.response_started:
            self._last_words = b""  # there is an answer already, however far it has come
        return False

    def _linger_on(self) -> None:
        self._head_due = None
        if not self._last_words:
            self.transport.close()
            return
        self._idle_from = time.monotonic()
        self._end_timer = self.loop.call_later(_REFUSE_S, self._refuse, self._last_words)

    def _refuse(self, words: bytes) -> None:
        self._said = True
        self.transport.write(words)
        self.transport.write_eof()
        self.flow.resume_reading()
        self._end_timer = self.loop.call_later(_LINGER_S, self.transport.close)


def _read_target(target: bytes) -> tuple[str, bytes, bytes]:
    """Its path, decoded and as it came, and its query."""
    url = parse_url(target)
    path = url.path.decode("ascii")
    return unquote(path) if "%" in path else path, url.path, url.query or b""


_read_known_target: Final = lru_cache(maxsize=256)(_read_target)


def _too_large(limit: str) -> Refused:
    return Refused(431, "head-too-large", "The head is too large", f"a head may have {limit}")


def _close_idle(connections: Iterable[BoundedProtocol]) -> bool:
    """Close a sixteenth of the connections that wait: those first that have never asked for anything, then
    those that have waited longest. Return whether any did.
    """
    idle = [each for each in connections if each.idle_since is not None]
    idle.sort(key=lambda each: (each.cycle is not None, each.idle_since))
    for connection in idle[: -(-len(idle) // _ROOM_MADE)]:
        connection.ended["no_room"] += 1
        connection.transport.close()
        # It is gone a moment later. Whoever comes until then already has its room.
        connection.connections.discard(connection)
    return bool(idle)
