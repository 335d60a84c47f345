"""Who may read and change: tokens, files, sessions, and the controller that guards them."""

from __future__ import annotations

import re
import socket
import stat
import time
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

from ekiben.state.documents.document import AUDIT_STREAM
from tests.ports import free_port
from tests.proofs.attacks.attack import Attack, Found
from tests.proofs.attacks.installation import (
    TOKEN,
    Installation,
)
from tests.proofs.attacks.listening import Listening
from tests.proofs.attacks.wire import get, post
from tests.proofs.faults.station import EXPERIMENT

_WRONG_TOKENS: Final = 15
_IDLE: Final = 200
_LONGEST_HEAD: Final = 4_000_000
_CHANGES: Final = 20_000
_QUICK_S: Final = 1.0


def open_files(folders: Iterable[Path]) -> list[str]:
    """Files and folders below (and with) these that others than their owner may read."""
    found = []
    for folder in folders:
        for path in (folder, *folder.rglob("*")):
            mode = path.lstat().st_mode
            if (stat.S_ISREG(mode) or stat.S_ISDIR(mode)) and mode & 0o077:
                found.append(f"{path.relative_to(folder.parent)} {stat.S_IMODE(mode):o}")
    return found


def files_for_everyone(installation: Installation) -> Found:
    """The data folders of a router and of a controller that made its own token."""
    with installation.other("ekiben.control", EKIBEN_ADMIN_TOKEN="", EKIBEN_EVENTS_URL="") as other:
        kept = other.data / "admin_token"
        installation.wait(kept.exists, "the controller made no token")
        token = kept.read_text().strip()
        told = token in other.said()
        found = open_files([installation.data, other.data])
    return Found(
        not told and not found,
        f"the token is {'in' if told else 'not in'} the log, {len(found)} open to others"
        + (f": {', '.join(found[:3])}" if found else ""),
    )


def files_of_ekiben_up(installation: Installation) -> Found:
    """What `ekiben up` leaves on disk: Redis's data, logs, the token, the salt."""
    folder = installation.folder / "up"
    ran = installation.command(
        "up", "--once", "--no-demo", "--port", str(free_port()),
        within_s=50.0,
        EKIBEN_DATA_DIR=str(folder),
        EKIBEN_STATE_URL="",
        EKIBEN_CACHE_URL="",
        EKIBEN_ADMIN_TOKEN="",
        EKIBEN_EVENTS_URL="",
        EKIBEN_CONTROLLER_PORT=str(free_port()),
    )  # fmt: skip
    assert ran.code == 0, ran.output
    token = (folder / "admin_token").read_text().strip()
    told = [
        path.name for path in (folder / "logs").rglob("*.log") if token in path.read_text(errors="replace")
    ]
    found = open_files([folder])
    return Found(
        not told and not found,
        f"the token is in {', '.join(told) or 'no log'}, {len(found)} open to others"
        + (f": {', '.join(found[:3])}" if found else ""),
    )


def terminal_that_cannot_print(installation: Installation) -> Found:
    """`ekiben pause` where the terminal has no arrow and no dash."""
    ran = installation.command(
        "pause", EXPERIMENT, "--why", "an attack", "--yes",
        LC_ALL="C", PYTHONUTF8="0", PYTHONIOENCODING="latin-1",
    )  # fmt: skip
    status = str(installation.held().document.experiments[EXPERIMENT].status)
    held = ran.code == 0 and status == "paused" and "Traceback" not in ran.output
    return Found(held, f"exit code {ran.code}, the experiment is {status}")


def forgotten_user(installation: Installation) -> Found:
    """A user with an override is forgotten; then everything that is kept is searched for the user id."""
    user = "u-to-be-forgotten-4711"
    installation.put(installation.document(overrides={user: "treatment"}))
    post(installation.port, "/predict/credit", {"user_id": user, "features": {"row": "f", "amount": 1}})
    time.sleep(2.5)  # until the controller has seen the override
    answer = installation.admin("/events/forget", {"user_id": user, "why": "asked to"})
    assert answer.status == 200, answer.body[:200]

    def places() -> list[str]:
        found = []
        with installation.state.client() as client:
            history: Any = client.xrange(AUDIT_STREAM)
            if any(user.encode() in value for _, fields in history for value in fields.values()):
                found.append("the history in Redis")
        folders = [
            installation.state.data,
            installation.data,
            installation.controller_data,
            installation.events,
        ]
        files = (path for folder in folders for path in folder.rglob("*") if path.is_file())
        holding = (path for path in files if user.encode() in path.read_bytes())
        return found + [str(path.relative_to(installation.folder)) for path in holding]

    installation.comes_true(lambda: not places(), 8.0)
    found = places()
    return Found(not found, f"found in {', '.join(found)}" if found else "found nowhere")


def session_of_an_old_token(installation: Installation) -> Found:
    """Somebody who logged in with a token that has been replaced since."""
    page = get(installation.controller_port, "/login")
    cookie = page.headers["set-cookie"].partition(";")[0]
    match = re.search(rb'name="form_token" value="([^"]+)"', page.body)
    assert match is not None
    form = urlencode({"form_token": match[1].decode(), "next": "/", "who": "mallory", "token": TOKEN})
    said = post(
        installation.controller_port,
        "/login",
        form.encode(),
        cookie=cookie,
        content_type="application/x-www-form-urlencoded",
    )
    assert said.status == 303, said.status
    session = said.headers["set-cookie"].partition(";")[0]
    before = get(installation.controller_port, "/login", cookie=session).status
    with installation.other("ekiben.control", EKIBEN_ADMIN_TOKEN="the-token-after-that") as other:
        after = get(other.port, "/login", cookie=session).status
    logged_in = {303: "logged in", 200: "not logged in"}
    return Found(
        before == 303 and after == 200,
        f"before {logged_in.get(before, before)}, after {logged_in.get(after, after)}",
    )


def wrong_tokens(installation: Installation) -> Found:
    """Wrong tokens from the address that the right one comes from too."""
    with installation.other("ekiben.control") as other:
        for number in range(_WRONG_TOKENS):
            get(other.port, "/api/status", host="x.example", authorization=f"Bearer wrong-{number}")
        right = post(
            other.port,
            f"/api/experiments/{EXPERIMENT}/pause",
            {"why": "no attack", "dry_run": True},
            authorization=f"Bearer {TOKEN}",
        )
    return Found(
        right.status in (200, 503), f"after {_WRONG_TOKENS} wrong ones the right token got {right.status}"
    )


def idle_connections_to_the_controller(installation: Installation) -> Found:
    """Connections that say nothing, more than a login shell lets a process open, and one that never ends."""
    with ExitStack() as stack:
        other = stack.enter_context(installation.other("ekiben.control", open_files=128))
        for _ in range(_IDLE):
            stack.enter_context(socket.create_connection(("127.0.0.1", other.port), timeout=5.0))
        begun = time.monotonic()
        answer = get(other.port, "/livez")
        took_s = time.monotonic() - begun
    return Found(
        answer.status == 200 and took_s < _QUICK_S,
        f"/livez beside {_IDLE} idle connections: {answer.status or 'no answer'} after {took_s:.1f} s",
    )


def head_without_end(installation: Installation) -> Found:
    """A head of the controller's that goes on and on, as fast as it is taken."""
    closed = False
    with socket.create_connection(("127.0.0.1", installation.controller_port), timeout=5.0) as connection:
        try:
            connection.sendall(b"GET /livez HTTP/1.1\r\nhost: 127.0.0.1\r\n")
            connection.sendall(b"x-more: 1\r\n" * (_LONGEST_HEAD // 11))
            # The kernel may have taken all of it before the controller looked.
            while not closed:
                closed = not connection.recv(65_536)
        except TimeoutError:
            pass
        except OSError:
            closed = True
    return Found(closed, f"{'closed' if closed else 'taken'}: {_LONGEST_HEAD // 1_000_000} MB")


def token_to_a_proxy(installation: Installation) -> Found:
    """`ekiben pause` where `http_proxy` is set, and where the controller sends on to another address."""
    verb = ("pause", EXPERIMENT, "--why", "an attack", "--yes")
    with Listening() as proxy:
        installation.command(*verb, http_proxy=proxy.url, HTTP_PROXY=proxy.url, no_proxy="")
    to_proxy = TOKEN.encode() in proxy.received
    with Listening() as target, Listening("302 Found", f"location: {target.url}/api/x") as moved:
        installation.command(*verb, EKIBEN_CONTROLLER_URL=moved.url)
        installation.command("history", EKIBEN_CONTROLLER_URL=moved.url)
    redirected = TOKEN.encode() in target.received
    places = [name for name, got in (("the proxy", to_proxy), ("the redirect's target", redirected)) if got]
    return Found(not places, f"the token went to {' and '.join(places) or 'neither'}")


def page_of_nothing(installation: Installation) -> Found:
    """The page and the history of an experiment that never was, after 20,000 changes."""
    with installation.state.client() as client:
        entries: Any = client.xrevrange(AUDIT_STREAM, count=1)
        with client.pipeline(transaction=False) as pipeline:
            for _ in range(_CHANGES):
                pipeline.xadd(AUDIT_STREAM, entries[0][1])
            added = pipeline.execute()
        slowest, statuses = 0.0, []
        try:
            for path in ("/experiments/never-was", "/api/experiments/never-was/history"):
                begun = time.monotonic()
                said = get(installation.controller_port, path, authorization=f"Bearer {TOKEN}")
                statuses.append(said.status)
                slowest = max(slowest, time.monotonic() - begun)
        finally:
            with client.pipeline(transaction=False) as pipeline:
                for place in range(0, len(added), 1000):
                    pipeline.xdel(AUDIT_STREAM, *added[place : place + 1000])
                pipeline.execute()
    answered = ", ".join(str(status or "nothing") for status in statuses)
    return Found(
        statuses == [404, 404] and slowest < _QUICK_S,
        f"answered {answered}, the slower one after {slowest:.1f} s",
    )


ATTACKS: Final = (
    Attack("A4", "files of a router and a controller", "0600, no token in a log", files_for_everyone),
    Attack("A4", "files of `ekiben up`", "0600, no token in a log", files_of_ekiben_up),
    Attack("B9", "a terminal that cannot print the message", "done, exit code 0", terminal_that_cannot_print),
    Attack("B16", "a forgotten user's id, wherever anything is kept", "nowhere", forgotten_user),
    Attack("B17", "a session of a token that was replaced", "not logged in", session_of_an_old_token),
    Attack("B17", "15 wrong tokens, then the right one", "let in", wrong_tokens),
    Attack("B19", "idle connections to the controller", "200 within 1 s", idle_connections_to_the_controller),
    Attack("B19", "a head without end, to the controller", "closed", head_without_end),
    Attack("B20", "an admin token, a proxy and a redirect", "goes to neither", token_to_a_proxy),
    Attack("B22", "pages of an experiment that never was", "404 within 1 s", page_of_nothing),
)
