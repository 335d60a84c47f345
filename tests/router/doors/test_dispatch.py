"""Which operation answers which request: the table, and nothing else, decides."""

from __future__ import annotations

import pytest

from router.doors.dispatch import find
from router.doors.operation import Operation
from router.doors.table import OPERATIONS, PLAIN, PREFIXES, PROBES
from router.errors import MethodNotAllowed, UnknownName
from router.http.keys import Keys
from tests.router.conftest import Router

NAMES = {"{model}": "credit", "{experiment}": "credit-boosting"}


def a_path(operation: Operation) -> str:
    """The operation's path with names in it that there are."""
    path = operation.path
    for name, given in NAMES.items():
        path = path.replace(name, given)
    return path


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: each.id)
def test_every_row_of_the_table_is_found_by_its_path(operation: Operation) -> None:
    found, names = find(operation.method, a_path(operation))
    assert found is operation
    assert names == tuple(given for name, given in NAMES.items() if name in operation.path)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: each.id)
def test_every_other_method_is_refused_with_the_right_ones(operation: Operation) -> None:
    with pytest.raises(MethodNotAllowed) as refused:
        find("DELETE", a_path(operation))
    assert refused.value.allowed == ("GET, HEAD" if operation.method == "GET" else "POST")


@pytest.mark.parametrize("path", ["", "/", "*", "models", "/predict/", "/models/a/b", "//models", "/livez/x"])
def test_what_is_not_in_the_table_is_not_found(path: str) -> None:
    with pytest.raises(UnknownName):
        find("GET", path)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: each.id)
async def test_the_table_says_what_needs_a_key(router: Router, operation: Operation) -> None:
    router.worker.keys = Keys.from_setting("s3cret-of-shop")
    response = await router.client.request(operation.method, a_path(operation), b"{}")
    assert (response.status == 401) == (operation.right is not None)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: each.id)
async def test_the_table_says_what_is_answered_under_every_name(router: Router, operation: Operation) -> None:
    response = await router.client.request(operation.method, a_path(operation), b"{}", {"Host": "lb.example"})
    assert (response.status == 421) == (operation.path not in PROBES)


def test_every_path_has_a_label_of_its_own_in_bentomls_metrics() -> None:
    for operation in OPERATIONS:
        assert operation.path in PLAIN or operation.path.startswith(PREFIXES)
