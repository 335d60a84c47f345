"""Who is taken for whom: whose word counts, for an address, for https and for a name."""

from __future__ import annotations

from pathlib import Path

import pytest
from starlette.requests import Request

from ekiben.control.callers import Caller, Callers
from ekiben.control.settings import Settings

VIEWER, ADMIN = False, True  # `may_change`


def callers(**environ: str) -> Callers:
    settings = Settings.from_environ(
        {"REDIS_URL": "redis://r", "EKIBEN_DATA_DIR": str(Path("/tmp/x")), **environ}
    )
    return Callers(settings)


def proxied() -> Callers:
    return callers(
        EKIBEN_TRUSTED_PROXIES="10.2.0.0/16, 2001:db8::7",
        EKIBEN_TRUSTED_USER_HEADER="X-Auth-Request-Email",
        EKIBEN_ADMINS="mara@example.com, Jo",
    )


def request(peer: str, *headers: tuple[str, str], host: str = "localhost") -> Request:
    named = [(b"host", host.encode()), *((name.lower().encode(), value.encode()) for name, value in headers)]
    return Request(
        {
            "type": "http",
            "client": (peer, 1),
            "headers": named,
            "scheme": "http",
            "server": ("x", 80),
            "path": "/",
        }
    )


@pytest.mark.parametrize(
    ("peer", "names", "caller"),
    [
        ("10.2.3.4", ["mara@example.com"], Caller("mara@example.com", ADMIN)),
        ("2001:db8::7", ["MARA@Example.com"], Caller("MARA@Example.com", ADMIN)),
        ("10.2.3.4", ["kim@example.com"], Caller("kim@example.com", VIEWER)),
        ("10.2.3.4", ["kím"], Caller("kím", VIEWER)),
        ("10.3.0.1", ["mara@example.com"], None),
        ("127.0.0.1", ["mara@example.com"], None),
        ("10.2.3.4", [], None),
        ("10.2.3.4", [""], None),
        ("10.2.3.4", ["a\x1b[2J"], None),
        ("10.2.3.4", ["a" * 101], None),
        ("10.2.3.4", ["mara@example.com", "kim@example.com"], None),
        ("", ["mara@example.com"], None),
    ],
)
def test_a_name_counts_once_and_from_a_trusted_proxy_only(
    peer: str, names: list[str], caller: Caller | None
) -> None:
    headers = [("X-Auth-Request-Email", name) for name in names]
    assert proxied().from_proxy(request(peer, *headers)) == caller


def test_without_the_setting_no_header_names_anybody() -> None:
    made = callers(EKIBEN_TRUSTED_PROXIES="127.0.0.1")
    assert made.from_proxy(request("127.0.0.1", ("X-Auth-Request-Email", "mara@example.com"))) is None


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("10.2.3.4", [], "10.2.3.4"),
        ("10.2.3.4", ["192.0.2.1"], "192.0.2.1"),
        ("10.2.3.4", ["6.6.6.6, 192.0.2.1"], "192.0.2.1"),
        ("10.2.3.4", ["6.6.6.6", "192.0.2.1, 10.2.0.9"], "192.0.2.1"),
        ("10.2.3.4", ["10.2.0.9"], "10.2.0.9"),
        ("192.0.2.5", ["6.6.6.6"], "192.0.2.5"),
    ],
)
def test_a_forwarded_address_counts_from_trusted_proxies_only(
    peer: str, forwarded: list[str], address: str
) -> None:
    headers = [("X-Forwarded-For", each) for each in forwarded]
    assert proxied().address(request(peer, *headers)) == address


@pytest.mark.parametrize(
    ("peer", "proto", "secure"),
    [("10.2.3.4", "https", True), ("10.2.3.4", "http", False), ("192.0.2.5", "https", False)],
)
def test_https_is_believed_of_a_trusted_proxy_only(peer: str, proto: str, secure: bool) -> None:
    assert proxied().is_secure(request(peer, ("X-Forwarded-Proto", proto))) is secure


@pytest.mark.parametrize(
    ("environ", "host", "headers", "may_look"),
    [
        ({}, "localhost:3100", [], True),
        ({}, "evil.example", [], False),
        ({}, "localhost", [("X-Forwarded-For", "192.0.2.1")], False),
        ({}, "localhost", [("Forwarded", "for=192.0.2.1")], False),
        ({"EKIBEN_ALLOWED_HOSTS": "ekiben.example"}, "localhost", [], False),
        ({"EKIBEN_HOST": "0.0.0.0", "EKIBEN_ADMIN_TOKEN": "0123456789abcdef"}, "localhost", [], False),
        (
            {"EKIBEN_TRUSTED_PROXIES": "127.0.0.1", "EKIBEN_TRUSTED_USER_HEADER": "X-User"},
            "localhost",
            [],
            False,
        ),
    ],
)
def test_without_a_name_only_this_machine_may_look(
    environ: dict[str, str], host: str, headers: list[tuple[str, str]], may_look: bool
) -> None:
    assert callers(**environ).may_look(request("127.0.0.1", *headers, host=host)) is may_look
