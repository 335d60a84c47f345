"""The panic switch: a file, and everyone gets live within a second, on every worker, without Redis."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from ekiben.state.panic import ALL_MODELS, panic_file, read_panic, watch_panic, write_panic
from tests.router.conftest import build_app
from tests.router.documents import V1, V2, V3, credit_document
from tests.router.running import (
    ModelServer,
    RouterProcess,
    predict,
    running_router,
    write_experiments,
)
from tests.router.services import Service
from tests.waiting import wait_for

EVERYONE = frozenset({ALL_MODELS})


@pytest.mark.parametrize(
    ("content", "models"),
    [
        (b"credit\n", {"credit"}),
        (b"credit", {"credit"}),
        (b"  credit \r\n\r\nfraud\t\n", {"credit", "fraud"}),
        (b"\xef\xbb\xbfcredit\n", {"credit"}),
        (b"# since Friday\ncredit\n  # fraud\n", {"credit"}),
        (b"*", EVERYONE),
        (b"credit\n*\n", {"credit", ALL_MODELS}),
        (b"", EVERYONE),
        (b" \n\n", EVERYONE),
        (b"# all of them\n", EVERYONE),
        (b"\xff\xfe\x00", EVERYONE),
    ],
)
def test_the_file_names_models_and_names_everyone_where_it_names_nobody(
    tmp_path: Path, content: bytes, models: set[str]
) -> None:
    path = tmp_path / "panic"
    path.write_bytes(content)
    assert read_panic(path) == models


def test_no_file_is_nobody_and_what_cannot_be_read_is_everyone(tmp_path: Path) -> None:
    assert read_panic(tmp_path / "panic") == frozenset()
    assert read_panic(tmp_path / "no folder" / "panic") == frozenset()
    (tmp_path / "panic").mkdir()
    assert read_panic(tmp_path / "panic") == EVERYONE


def test_what_was_written_is_read_again_and_nobody_leaves_no_file(tmp_path: Path) -> None:
    path = tmp_path / "new" / "panic"
    for models in ({"credit"}, {"credit", "fraud"}, {ALL_MODELS}):
        write_panic(path, models)
        assert read_panic(path) == models
        assert [each.name for each in path.parent.iterdir()] == ["panic"]
    for _ in range(2):
        write_panic(path, ())
        assert list(path.parent.iterdir()) == []


def test_the_file_is_in_the_data_directory_unless_it_is_named(tmp_path: Path) -> None:
    assert panic_file({}, tmp_path) == tmp_path / "panic"
    assert panic_file({"EKIBEN_PANIC_FILE": ""}, tmp_path) == tmp_path / "panic"
    assert panic_file({"EKIBEN_PANIC_FILE": "/run/panic"}, tmp_path) == Path("/run/panic")


async def test_whom_the_file_names_is_sent_to_live_at_once_and_released_when_it_has_been_left_alone(
    tmp_path: Path,
) -> None:
    path, told, now = tmp_path / "panic", asyncio.Queue[frozenset[str]](), [0.0]

    async def said() -> frozenset[str]:
        return await asyncio.wait_for(told.get(), 30)

    async def later() -> frozenset[str]:
        while told.empty():
            now[0] += 2
            await asyncio.sleep(0.02)
        return told.get_nowait()

    write_panic(path, {"credit"})
    watching = asyncio.create_task(watch_panic(path, told.put_nowait, lambda: now[0], look_s=0.01))
    try:
        assert await said() == {"credit"}
        write_panic(path, {"fraud"})
        assert await said() == {"credit", "fraud"}
        assert await later() == {"fraud"}
        path.write_text("")  # somebody writes it in place: nobody is released meanwhile
        assert await said() == EVERYONE
        write_panic(path, {"fraud"})
        assert await later() == {"fraud"}
        write_panic(path, frozenset())
        assert await later() == frozenset()
    finally:
        watching.cancel()


async def test_a_model_in_panic_serves_live_to_everyone_and_records_no_exposure() -> None:
    async with build_app(
        credit_document(), {V1: Service("v1"), V2: Service("v2"), V3: Service("v3")}
    ) as router:
        for models in ({"credit"}, {ALL_MODELS}, {"credit", "other"}):
            router.worker.panic(frozenset(models))
            answer = (await router.client.predict("u-treatment", {"row": 1})).json
            assert (answer["version"], answer["experiment"], answer["variant"]) == ("v1", None, None)
        assert router.exposures() == []
        for models in ({"other"}, set[str]()):
            router.worker.panic(frozenset(models))
            answer = (await router.client.predict("u-treatment", {"row": 1})).json
            assert (answer["version"], answer["variant"]) == ("v2", "treatment")


@pytest.fixture(scope="module")
def station(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RouterProcess, Path]]:
    """A real router of two workers, without Redis, and its panic file."""
    folder = tmp_path_factory.mktemp("station")
    services = {"v1": ModelServer("v1"), "v2": ModelServer("v2")}
    write_experiments(folder, services)
    switch = folder / "elsewhere" / "panic"
    with running_router(folder, workers="2", panic_file=str(switch)) as router:
        yield router, switch
    for service in services.values():
        service.close()


def versions(router: RouterProcess) -> set[str]:
    """Who answers a user of the treatment, asked often enough to meet both workers."""
    return {predict(router.port, "u-treatment").json["version"] for _ in range(30)}


@pytest.mark.parametrize("content", ["credit\n", "*\n", "", "other\ncredit\n"])
def test_on_every_worker_everyone_gets_live_soon_and_the_experiment_is_back_when_the_file_is_gone(
    station: tuple[RouterProcess, Path], content: str
) -> None:
    router, switch = station
    assert versions(router) == {"v2"}
    switch.parent.mkdir(exist_ok=True)
    switch.write_text(content)
    # A second is the promise; the rest is for a machine that is busy with other things.
    wait_for(lambda: versions(router) == {"v1"}, within_s=10)
    switch.unlink()
    wait_for(lambda: versions(router) == {"v2"}, within_s=10)


def test_another_model_s_panic_changes_nothing(station: tuple[RouterProcess, Path]) -> None:
    router, switch = station
    write_panic(switch, {"elsewhere"})
    wait_for(lambda: sum("live go elsewhere" in line["message"] for line in router.told()) == 2)
    assert versions(router) == {"v2"}
    write_panic(switch, ())


def test_a_router_that_starts_while_the_switch_is_on_gives_nobody_anything_but_live(folder: Path) -> None:
    write_panic(folder / "data" / "panic", {"credit"})
    with running_router(folder) as router:
        assert versions(router) == {"v1"}
        assert any("panic switch" in line["message"] for line in router.told())
