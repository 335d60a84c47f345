"""Which names a server answers to, and whose pages may call it: the rules alone."""

from __future__ import annotations

import pytest

from ekiben.process.environ import BadSetting
from ekiben.process.http.names import HostNames, allowed_hosts, allowed_origins, own_origin

STRANGERS = [
    "evil.example",
    "127.0.0.1.evil.example",
    "localhost.evil.example:3000",
    "evil.example.",
    "",
    "a@b",
]


@pytest.mark.parametrize("host", ["localhost:3000", "127.0.0.1", "127.8.8.8:1", "[::1]:3000", "a.localhost"])
@pytest.mark.parametrize("bound", ["127.0.0.1", "0.0.0.0", "::"])
def test_a_name_of_loopback_is_always_answered_to(bound: str, host: str) -> None:
    assert HostNames(bound).allows(host)


@pytest.mark.parametrize("host", STRANGERS)
@pytest.mark.parametrize("bound", ["127.0.0.1", "0.0.0.0", "10.0.0.7"])
def test_a_name_that_a_stranger_can_own_is_never_answered_to(bound: str, host: str) -> None:
    assert not HostNames(bound).allows(host)


@pytest.mark.parametrize(
    "host",
    [
        "10.0.0.7:3000",
        "[fd00::7]:3000",
        "router:3000",
        "ekiben-router",
        "ekiben-router.ekiben.svc:3000",
        "ekiben-router.ekiben.svc.cluster.local",
        "router.corp.internal",
    ],
)
def test_off_loopback_addresses_and_names_that_nobody_can_register_are_answered_to(host: str) -> None:
    assert HostNames("0.0.0.0").allows(host)
    assert not HostNames("127.0.0.1").allows(host)


def test_the_address_that_it_listens_on_is_answered_to() -> None:
    assert HostNames("router.example.com").allows("Router.Example.COM:3000")


def test_an_allowed_name_without_a_port_counts_with_every_port_and_one_with_a_port_with_that_only() -> None:
    names = HostNames("127.0.0.1", ("Shop.example", "api.example:8443"))
    assert names.allows("shop.EXAMPLE:8443")
    assert names.allows("shop.example.")
    assert names.allows("api.example:8443")
    assert not names.allows("api.example")
    assert not names.allows("evil.example")


def test_it_is_only_this_machine_while_no_other_name_is_allowed() -> None:
    assert HostNames("127.0.0.1").only_here
    assert not HostNames("127.0.0.1", ("shop.example",)).only_here
    assert not HostNames("0.0.0.0").only_here
    assert not HostNames("127.0.0.1", loopback=False).only_here


@pytest.mark.parametrize(
    ("origin", "own"),
    [
        ("http://127.0.0.1:3000", True),
        ("https://127.0.0.1:3000", True),  # TLS may end at a proxy
        ("http://127.0.0.1:8080", False),
        ("http://evil.example", False),
        ("null", False),
        ("", False),
        ("file://127.0.0.1:3000", False),
    ],
)
def test_an_origin_is_own_when_it_names_the_host_that_was_asked(origin: str, own: bool) -> None:
    assert own_origin(origin, "127.0.0.1:3000") is own


@pytest.mark.parametrize("text", ["*", "https://shop.example/path", "shop.example", "https://"])
def test_what_is_no_origin_is_refused_in_one_line_that_shows_how_it_looks(text: str) -> None:
    with pytest.raises(BadSetting, match="such as https://shop"):
        allowed_origins({"EKIBEN_ALLOWED_ORIGINS": f"https://fine.example, {text}"})


@pytest.mark.parametrize("text", ["*", "https://shop.example", "a b"])
def test_what_is_no_name_is_refused_in_one_line_that_shows_how_it_looks(text: str) -> None:
    with pytest.raises(BadSetting, match=r"such as ekiben\.example\.com"):
        allowed_hosts({"EKIBEN_ALLOWED_HOSTS": f"fine.example, {text}"})
