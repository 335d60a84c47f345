"""Host names of endpoints: one endpoint for each address, kept while the address is there."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from router.lanes.endpoints import Endpoint, Endpoints
from router.lanes.resolve import host_to_resolve, resolve_host, with_address
from router.lanes.routes import resolve_endpoints
from router.lanes.service import InMemoryService
from tests.router.running import ModelServer, ask, predict, running_router, write_experiments
from tests.waiting import wait_for

POD = "http://credit-v1:3001"


def service() -> InMemoryService:
    return InMemoryService(lambda _features: {"ok": {}})


class Names:
    """A name server: what each name stands for, or an error; and what was made of the answers."""

    def __init__(self, **addresses: list[str]) -> None:
        self.addresses = {name.replace("_", "-"): found for name, found in addresses.items()}
        self.made: list[tuple[str, str | None]] = []

    async def resolve(self, host: str) -> list[str]:
        if host not in self.addresses:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return self.addresses[host]

    def make(self, url: str, host: str | None = None) -> InMemoryService:
        self.made.append((url, host))
        return service()

    async def look_up(self, endpoints: Endpoints) -> list[str]:
        await resolve_endpoints(endpoints, self.make, self.resolve)
        return [endpoint.url for endpoint in endpoints.all]


def endpoints_of(*urls: str) -> Endpoints:
    return Endpoints([Endpoint(url, service()) for url in urls])


async def test_a_name_becomes_one_endpoint_for_each_address_which_is_told_the_name() -> None:
    names, endpoints = Names(credit_v1=["10.0.0.1", "10.0.0.2"]), endpoints_of(POD)
    assert await names.look_up(endpoints) == ["http://10.0.0.1:3001", "http://10.0.0.2:3001"]
    assert names.made == [
        ("http://10.0.0.1:3001", "credit-v1:3001"),
        ("http://10.0.0.2:3001", "credit-v1:3001"),
    ]
    assert {endpoint.given for endpoint in endpoints.all} == {POD}


async def test_a_new_address_is_one_more_and_those_that_stay_keep_breaker_and_connections() -> None:
    names, endpoints = Names(credit_v1=["10.0.0.1"]), endpoints_of(POD)
    await names.look_up(endpoints)
    (kept,) = endpoints.all
    for _ in range(3):
        kept.breaker.failed(0.0)
    names.addresses["credit-v1"] = ["10.0.0.1", "10.0.0.2"]
    await names.look_up(endpoints)
    assert endpoints.all[0] is kept
    assert endpoints.all[0].breaker.is_open(0.1)
    assert endpoints.all[1].url == "http://10.0.0.2:3001"
    assert not endpoints.all[1].breaker.is_open(0.1)
    assert len(names.made) == 2


async def test_an_address_that_is_gone_is_dropped_and_capacity_follows() -> None:
    names, endpoints = Names(credit_v1=["10.0.0.1", "10.0.0.2", "10.0.0.3"]), endpoints_of(POD)
    await names.look_up(endpoints)
    assert endpoints.capacity == 3
    names.addresses["credit-v1"] = ["10.0.0.2"]
    assert await names.look_up(endpoints) == ["http://10.0.0.2:3001"]
    assert endpoints.capacity == 1


@pytest.mark.parametrize("failure", ["error", "nothing"])
async def test_a_name_that_cannot_be_looked_up_now_keeps_its_addresses(failure: str) -> None:
    names, endpoints = Names(credit_v1=["10.0.0.1", "10.0.0.2"]), endpoints_of(POD)
    await names.look_up(endpoints)
    before = endpoints.all
    if failure == "error":
        del names.addresses["credit-v1"]
    else:
        names.addresses["credit-v1"] = []
    await names.look_up(endpoints)
    assert endpoints.all == before


async def test_a_name_that_never_was_looked_up_is_left_to_the_http_client() -> None:
    endpoints = endpoints_of(POD)
    assert await Names().look_up(endpoints) == [POD]


async def test_addresses_are_left_alone() -> None:
    urls = ["https://10.0.0.9:3001", "http://10.0.0.9:3001", "http://[::1]:3001"]
    names, endpoints = Names(credit_v1=["10.0.0.1"]), endpoints_of(*urls)
    before = endpoints.all
    assert await names.look_up(endpoints) == urls
    assert endpoints.all == before
    assert names.made == []


async def test_one_name_s_failure_is_not_another_s() -> None:
    names = Names(credit_v1=["10.0.0.1"])
    endpoints = endpoints_of("http://gone:3001", POD, "http://10.0.0.9:3001")
    assert await names.look_up(endpoints) == [
        "http://gone:3001",
        "http://10.0.0.1:3001",
        "http://10.0.0.9:3001",
    ]


async def test_a_name_server_that_does_not_answer_is_given_up() -> None:
    class Silent(Names):
        async def resolve(self, host: str) -> list[str]:
            raise TimeoutError

    endpoints = endpoints_of(POD)
    assert await Silent().look_up(endpoints) == [POD]


async def test_an_ipv6_address_stands_in_brackets() -> None:
    names, endpoints = Names(credit_v1=["fd00::1"]), endpoints_of(POD, "http://credit-v1")
    assert await names.look_up(endpoints) == ["http://[fd00::1]:3001", "http://[fd00::1]"]


def test_only_names_are_looked_up() -> None:
    assert host_to_resolve("http://credit-v1.models.svc:3001") == "credit-v1.models.svc"
    assert host_to_resolve("http://127.0.0.1:3001") is None
    assert host_to_resolve("http://[::1]:3001") is None
    assert host_to_resolve("https://credit-v1:3001") == "credit-v1"
    assert with_address("http://a:1", "10.0.0.1") == "http://10.0.0.1:1"
    assert with_address("http://a", "::1") == "http://[::1]"


async def test_localhost_is_looked_up_for_real() -> None:
    found = await resolve_host("localhost")
    assert found in (["127.0.0.1"], ["::1"])


@pytest.mark.parametrize("name", ["a" * 64, "a..b", "no-such-name.invalid"])
async def test_what_cannot_be_a_name_is_an_os_error(name: str) -> None:
    with pytest.raises(OSError):  # noqa: PT011 - that is the promise
        await asyncio.wait_for(resolve_host(name), 20)


def test_a_running_router_reaches_localhost_by_its_address(tmp_path: Path) -> None:
    v1 = ModelServer("v1")
    write_experiments(tmp_path, {"v1": v1}, versions={"v1": {"endpoints": [f"http://localhost:{v1.port}"]}})
    try:
        with running_router(tmp_path) as router:
            assert predict(router.port).status == 200

            def is_looked_up() -> bool:
                (endpoint,) = ask(router.port, "/models/credit").json["versions"]["v1"]["endpoints"]
                return bool(endpoint["url"] == f"http://127.0.0.1:{v1.port}")

            wait_for(is_looked_up)  # beside the requests
    finally:
        v1.close()
