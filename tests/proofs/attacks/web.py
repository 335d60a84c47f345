"""Who may ask: pages of other origins, what is not a header, connections that say nothing."""

from __future__ import annotations

import socket
import time
from typing import Final

import orjson

from tests.proofs.attacks.attack import Attack, Found
from tests.proofs.attacks.installation import TOKEN, Installation
from tests.proofs.attacks.wire import Answer, get, post, read_answer, request, send
from tests.proofs.faults.station import EXPERIMENT

_ROW: Final = {"user_id": "user-1", "features": {"row": "web", "amount": 1}}
_OUTCOME: Final = {"outcomes": [{"user_id": "user-1", "name": "profit", "value": 1}]}
_IDLE_S: Final = 8.0


def _refused(answers: dict[str, Answer]) -> Found:
    """Whether all were refused as the client's own fault."""
    taken = [name for name, answer in answers.items() if not 400 <= answer.status < 500]
    return Found(
        not taken,
        f"{len(answers) - len(taken)} of {len(answers)} refused"
        + (f"; taken: {', '.join(taken)}" if taken else ""),
    )


def from_another_page(installation: Installation) -> Found:
    """What a web page can send without a preflight, and under a name that leads to this machine."""
    evil = "evil.example"
    tries = {
        "its origin": {"origin": f"http://{evil}"},
        "its name as Host": {"host": evil},
        "text/plain": {"content_type": "text/plain"},
        "no origin that can be named": {"origin": "null", "content_type": "text/plain"},
    }
    answers = {}
    for path, body in (("/predict/credit", _ROW), ("/outcomes", _OUTCOME)):
        for name, headers in tries.items():
            answers[f"{path} with {name}"] = post(installation.port, path, body, **headers)
    ordinary = post(installation.port, "/predict/credit", _ROW)
    found = _refused(answers)
    return Found(
        found.held and ordinary.status == 200, f"{found.seen}; an ordinary client: {ordinary.status}"
    )


def no_foreign_page_reads(installation: Installation) -> Found:
    """A page of another origin that reads predictions: CORS is off, so that a browser shows it nothing."""
    asked = get(installation.port, "/models", origin="http://evil.example")
    preflight = send(
        installation.port,
        request(
            "OPTIONS",
            "/predict/credit",
            connection="close",
            origin="http://evil.example",
            access_control_request_method="POST",
        ),
    )
    allowed = [each for each in (asked, preflight) if "access-control-allow-origin" in each.headers]
    return Found(
        not allowed, f"answered {asked.status} and {preflight.status}, allowed to read {len(allowed)}"
    )


def _chunked(path: str, body: bytes, trailers: bytes, **headers: str) -> bytes:
    head = request("POST", path, b"", transfer_encoding="chunked", connection="close", **headers)
    return head + b"%x\r\n%b\r\n0\r\n%b\r\n" % (len(body), body, trailers)


def key_in_a_trailer(installation: Installation) -> Found:
    """A good key behind a chunked body, a wrong one or none in the head."""
    body = orjson.dumps(_ROW)
    with installation.other(EKIBEN_API_KEYS="the-good-key-of-this-attack") as other:
        good = b"authorization: Bearer the-good-key-of-this-attack\r\n"
        answers = {
            "no key": send(other.port, _chunked("/predict/credit", body, good)),
            "a wrong key": send(
                other.port, _chunked("/predict/credit", body, good, authorization="Bearer wrong")
            ),
        }
        right = post(other.port, "/predict/credit", body, authorization="Bearer the-good-key-of-this-attack")
    statuses = {name: answer.status for name, answer in answers.items()}
    held = set(statuses.values()) <= {401, 403} and right.status == 200
    return Found(held, f"{statuses}, with the key in the head {right.status}")


def names_in_a_trailer(installation: Installation) -> Found:
    """Another user and another request id behind a chunked body."""
    body = orjson.dumps({"features": _ROW["features"]})
    trailers = b"x-user-id: mallory\r\nx-request-id: forged\r\n"
    inside = send(
        installation.port,
        _chunked("/predict/credit", body, trailers, x_user_id="user-1", x_request_id="mine"),
    )
    nobody = send(installation.port, _chunked("/predict/credit", body, trailers))
    said, of_nobody = inside.data or {}, nobody.data or {}
    held = said.get("request_id") == "mine" and of_nobody.get("variant", 0) is None
    return Found(
        held, f"request_id {said.get('request_id')!r}, variant of nobody {of_nobody.get('variant')!r}"
    )


def admin_token_in_a_trailer(installation: Installation) -> Found:
    """The admin token behind a chunked body: the controller asks for it in the head."""
    body = orjson.dumps({"why": "an attack", "dry_run": True})
    trailer = f"authorization: Bearer {TOKEN}\r\n".encode()
    path = f"/api/experiments/{EXPERIMENT}/pause"
    answer = send(installation.controller_port, _chunked(path, body, trailer))
    right = installation.admin(f"/experiments/{EXPERIMENT}/pause", {"why": "no attack", "dry_run": True})
    return Found(answer.status == 401 and right.status == 200, f"{answer.status}, in the head {right.status}")


def idle_connection_is_kept(installation: Installation) -> Found:
    """A load balancer's connection that is quiet for longer than uvicorn's 5 s, then used again."""
    asked = request("GET", "/livez")
    with socket.create_connection(("127.0.0.1", installation.port), timeout=5.0) as connection:
        connection.sendall(asked)
        first = read_answer(connection)
        time.sleep(_IDLE_S)
        try:
            connection.sendall(asked)
            second = read_answer(connection)
        except OSError:
            second = Answer(0, {}, b"")
    return Found(first.status == second.status == 200, f"after {_IDLE_S:.0f} s: {second.status or 'closed'}")


ATTACKS: Final = (
    Attack("A2", "predictions and outcomes from a page of another origin", "all refused", from_another_page),
    Attack("A2", "a page of another origin that reads", "no CORS header", no_foreign_page_reads),
    Attack("A3", "a good API key in a trailer", "401", key_in_a_trailer),
    Attack("A3", "user and request id in a trailer", "not taken", names_in_a_trailer),
    Attack("A3", "the admin token in a trailer", "401", admin_token_in_a_trailer),
    Attack("B10", "a connection idle for 8 s", "still open", idle_connection_is_kept),
)
