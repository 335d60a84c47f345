"""`ekiben outcomes import`, from the file to the stream of a real router."""

from __future__ import annotations

import asyncio
import csv
import io
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from msgspec.structs import asdict
from rich.console import Console

from ekiben.client import Client
from ekiben.importing.rows import NO_VALUE, Columns, read_row
from ekiben.importing.run import import_outcomes
from ekiben.importing.sender import OutcomeSender
from ekiben.importing.summary import Imported
from ekiben.state.streams.blocks import OUTCOMES_STREAM
from ekiben.terminal.errors import EkibenError, UsageError
from tests.ekiben.running import ekiben, environment
from tests.processes import RouterProcess
from tests.redis_server import RedisServer
from tests.router.documents import credit
from tests.state.reading import events_in

PLAIN = Columns()
NOW = 1_795_255_200.0  # 2026-11-21T10:00:00Z
GOOD = {"prediction_id": "p-1", "name": "profit", "value": "12.5"}


def read(columns: Columns = PLAIN, **changed: Any) -> tuple[dict[str, Any], str]:
    return read_row(GOOD | changed, columns, NOW)


def test_a_line_is_an_outcome_with_an_id_of_its_content() -> None:
    outcome, wrong = read(at="2026-11-20T10:00:00Z", other="column")
    assert wrong == ""
    assert {field: value for field, value in outcome.items() if field != "id"} == {
        "prediction_id": "p-1",
        "name": "profit",
        "value": 12.5,
        "at": "2026-11-20T10:00:00Z",
    }
    assert outcome["id"] == read(at="2026-11-20T10:00:00Z", another="one")[0]["id"]
    others = [{"value": "12.6"}, {"name": "loss"}, {"prediction_id": "p-2"}, {"at": "2026-11-20T10:00:01Z"}]
    assert len({outcome["id"], *(read(**each)[0]["id"] for each in others)}) == 5


def test_an_id_of_the_lines_own_is_kept() -> None:
    assert read(id="mine")[0]["id"] == "mine"


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"value": "12,5"}, "value: not a number: '12,5'"),
        ({"value": "1_000"}, "value: not a number: '1_000'"),
        ({"value": ""}, NO_VALUE),
        ({"value": None}, NO_VALUE),
        ({"value": "nan"}, NO_VALUE),
        ({"value": float("nan")}, NO_VALUE),
        ({"value": "N/A"}, NO_VALUE),
        ({"value": "inf"}, "value: must be a number between -1e+30 and 1e+30"),
        ({"value": [1]}, "value: not a number: '[1]'"),
        ({"prediction_id": ""}, "give either `prediction_id` or `user_id`"),
        ({"user_id": "u"}, "give either `prediction_id` or `user_id`"),
        ({"name": " "}, "name: `name` is missing"),
        ({"at": "2026-11-21"}, "at: must be a time as RFC 3339 has it, such as 2026-11-21T10:00:00Z"),
        ({"at": "2026-11-21T11:00:00Z"}, "at: is more than 5 minutes in the future"),
        ({"id": "i" * 129}, "id: must be a string of 1 to 128 characters"),
        ({"prediction_id": float("nan")}, "give either `prediction_id` or `user_id`"),
        ({"prediction_id": None, "user_id": 1.5}, "user_id: '1.5' is neither a text nor a whole number"),
        ({"prediction_id": None, "user_id": True}, "user_id: 'True' is neither a text nor a whole number"),
        (
            {"prediction_id": None, "user_id": 2.0**60},
            "user_id: 1.152921504606847e+18 has lost digits: keep ids as texts or whole numbers",
        ),
        ({"prediction_id": b"\xff"}, "prediction_id: not UTF-8"),
    ],
    ids=str,
)
def test_what_is_wrong_with_a_line_is_told(changed: dict[str, Any], why: str) -> None:
    assert read(**changed)[1] == why


@pytest.mark.parametrize(
    ("value", "number"),
    [("bad", 1.0), ("good", 0.0), (" bad ", 1.0), (1, 0.0)],
)
def test_a_label_is_1_where_it_is_the_positive_one(value: str, number: float) -> None:
    assert read(Columns(value="status", positive="bad"), status=value)[0]["value"] == number


@pytest.mark.parametrize("positive", ["1", "1.0", "01", "true", "1e0"])
@pytest.mark.parametrize(
    ("value", "number"),
    [("1", 1), ("1.0", 1), ("01", 1), (" TRUE", 1), (True, 1), (1.0, 1), (Decimal("1.00"), 1), ("0", 0),
     ("false", 0), (False, 0), ("2", 0), (0.5, 0)],
)  # fmt: skip
def test_numbers_compare_as_numbers(positive: str, value: Any, number: float) -> None:
    assert read(Columns(positive=positive), value=value)[0]["value"] == number


def test_a_number_that_no_float_is_exactly_is_found_in_a_column_of_floats() -> None:
    assert read(Columns(positive="0.1"), value=0.1)[0]["value"] == 1
    assert read(Columns(positive="0.1"), value=0.2)[0]["value"] == 0


def test_a_word_among_numbers_is_no_negative() -> None:
    wrong = read(Columns(positive="1"), value="unknown")[1]
    assert wrong == "value: 'unknown' is not a number, and --positive is one"


@pytest.mark.parametrize(("value", "place"), [("none", 0), (" card ", 1), ("account", 2)])
def test_a_class_is_its_place(value: str, place: int) -> None:
    assert read(Columns(classes=("none", "card", "account")), value=value)[0]["value"] == place


def test_a_value_that_is_no_class_is_a_wrong_line() -> None:
    columns = Columns(classes=("1", "2"))
    assert read(columns, value=2)[0]["value"] == 1
    assert read(columns, value="3")[1] == "value: '3' is none of the classes 1, 2"
    assert read(columns, value="nan")[1] == "no value"


@pytest.mark.parametrize(
    ("columns", "why"),
    [
        (
            Columns(positive="a", classes=("a", "b")),
            "a label has --positive or --classes: leave one of the two out",
        ),
        (Columns(classes=("a", "b", "a")), "the class a is there twice"),
    ],
)
def test_classes_that_contradict_are_refused(columns: Columns, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        columns.used(["user_id", "name", "value"])


def test_a_missing_value_can_be_the_positive_one_when_it_is_named() -> None:
    assert read(Columns(positive="none"), value="none")[0]["value"] == 1.0


@pytest.mark.parametrize("user", [123, 123.0, Decimal(123), "123", b"123"])
def test_ids_keep_their_digits(user: Any) -> None:
    assert read(prediction_id=None, user_id=user)[0]["user_id"] == "123"


@pytest.mark.parametrize(
    ("value", "number"), [(True, 1.0), (False, 0.0), (3, 3.0), (Decimal("2.50"), 2.5), (0.1, 0.1)]
)
def test_values_of_parquet_are_numbers_already(value: Any, number: float) -> None:
    assert read(value=value)[0]["value"] == number


def test_times_and_ids_of_parquet_are_read_as_what_they_are() -> None:
    outcome, wrong = read(prediction_id=None, user_id=17, at=datetime(2026, 11, 20, 9, tzinfo=UTC))
    assert (outcome["user_id"], outcome["at"], wrong) == ("17", "2026-11-20T09:00:00+00:00", "")
    assert read(at=datetime(2026, 11, 20, 9))[0]["at"] == "2026-11-20T09:00:00+00:00"  # noqa: DTZ001


class Importing:
    """Imports into a running router, and what its stream holds afterwards."""

    def __init__(self, folder: Path, router: RouterProcess, server: RedisServer) -> None:
        self.folder = folder
        self.router = router
        self.said = ""
        self._server = server

    def run(
        self, content: str | bytes, columns: Columns = PLAIN, dry: bool = False, patience_s: float = 30.0
    ) -> Imported:
        path = self.folder / "outcomes.csv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        out = io.StringIO()
        with Client(self.router.url, patience=patience_s) as router:
            sender = None if dry else OutcomeSender(router)
            try:
                return import_outcomes(Console(file=out, width=200), path, columns, sender)
            finally:
                self.said = out.getvalue()

    async def held(self) -> list[dict[str, Any]]:
        """The outcomes in the stream, each id once."""
        async with self._server.client() as client:
            entries = await client.xrange(OUTCOMES_STREAM)
        return list({event.event_id: asdict(event) for event in events_in(entries)}.values())


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("r"), "r")
    asyncio.run(server.start())
    yield server
    server.kill()


@pytest.fixture(scope="module")
def router(state: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RouterProcess]:
    """One router for all of these tests; it takes small bodies."""
    folder = tmp_path_factory.mktemp("router")
    (folder / "experiments.yaml").write_text(yaml.safe_dump(credit()))
    settings = {"EKIBEN_CACHE_URL": state.url, "EKIBEN_STATE_URL": state.url}
    router = RouterProcess(folder, 1, **settings, EKIBEN_MAX_BODY_BYTES="65536")
    router.start()
    yield router
    router.kill()


@pytest.fixture
async def importing(tmp_path: Path, state: RedisServer, router: RouterProcess) -> Importing:
    """Nothing has been imported yet."""
    async with state.client() as client:
        await client.delete(OUTCOMES_STREAM)
    return Importing(tmp_path, router, state)


def table(rows: list[Mapping[str, Any]]) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


async def test_a_file_is_imported_whole_and_once_however_often(importing: Importing) -> None:
    rows = [
        {"user_id": f"u-{number}", "name": "profit", "value": number / 4, "at": "2025-06-01T00:00:00+02:00"}
        for number in range(2500)
    ]
    for _ in range(2):
        found = importing.run(table(rows))
        assert (found.lines, found.accepted, found.bad) == (2500, 2500, 0)
    assert "2,500 of 2,500 lines imported" in importing.said
    held = await importing.held()
    assert sorted(each["value"] for each in held) == [number / 4 for number in range(2500)]
    assert {each["at"] for each in held} == {datetime(2025, 5, 31, 22, tzinfo=UTC).timestamp()}


async def test_good_lines_are_imported_and_bad_ones_told_by_their_number(importing: Importing) -> None:
    lines = ["prediction_id,label,note", "p-1,bad,", 'p-2,good,"two', 'lines"', ",bad,", "p-4,bad", "p-5,,x"]
    content = "\n".join(lines).encode() + b"\np-\xff,bad,\n\np-9,bad,\n"
    found = importing.run(content, Columns("default", "label", "bad"))
    assert (found.lines, found.accepted, found.bad, found.without_value) == (7, 3, 3, 1)
    assert [line for line in importing.said.splitlines() if line.startswith("line ")] == [
        "line 5: give either `prediction_id` or `user_id`",
        "line 6: 2 fields, and the first line has 3",
        "line 8: not UTF-8",
    ]
    held = {each["prediction_id"]: (each["name"], each["value"]) for each in await importing.held()}
    assert "values: bad as 1 (2), good as 0 (1)" in importing.said
    assert "lines without a value in label, left out: 1" in importing.said
    assert held == {"p-1": ("default", 1.0), "p-2": ("default", 0.0), "p-9": ("default", 1.0)}


async def test_more_than_20_bad_lines_are_all_in_a_file(importing: Importing) -> None:
    rows = [
        {"user_id": f"u-{number}", "name": "n", "value": "x" if number % 2 else 1} for number in range(60)
    ]
    found = importing.run(table(rows))
    rejected = importing.folder / "outcomes.csv.rejected"
    assert (found.accepted, found.bad) == (30, 30)
    assert len([line for line in importing.said.splitlines() if line.startswith("line ")]) == 20
    assert str(rejected) in importing.said.replace("\n", "")
    told = rejected.read_text().splitlines()
    assert [int(line.split()[1].rstrip(":")) for line in told] == list(range(3, 62, 2))
    importing.run(table(rows[::2]))
    assert not rejected.exists()


async def test_a_dry_run_reads_everything_and_sends_nothing(importing: Importing) -> None:
    rows = [{"user_id": "u", "name": "n", "value": value} for value in (1, "x", 2)]
    found = importing.run(table(rows), dry=True)
    assert (found.lines, found.accepted, found.bad) == (3, 0, 1)
    assert "2 of 3 lines can be imported; nothing was sent" in importing.said
    assert await importing.held() == []


async def test_lines_that_repeat_another_are_told_and_count_once(importing: Importing) -> None:
    found = importing.run(table([{"user_id": "u", "name": "n", "value": 1}] * 3))
    assert (found.accepted, found.repeated) == (3, 2)
    assert "lines that repeat another one: 2." in importing.said
    assert len(await importing.held()) == 1


async def test_the_ids_of_an_own_column_keep_equal_lines_apart(importing: Importing) -> None:
    rows = [{"user_id": "u", "name": "n", "value": 1, "order": f"o-{number}"} for number in range(3)]
    found = importing.run(table(rows), Columns(id="order"))
    assert (found.accepted, found.repeated, found.unnumbered) == (3, 0, 0)
    assert len(await importing.held()) == 3


def test_what_ids_are_made_of_and_ids_that_look_wrong_are_told(tmp_path: Path) -> None:
    path, out = tmp_path / "few.csv", io.StringIO()
    path.write_text("user_id,value,name\n7.0,1,n\nu ,2,n\n")
    import_outcomes(Console(file=out, width=200), path, PLAIN, None)
    assert (
        "lines without an id: 2. Theirs is made of prediction_id, user_id, name, value and at"
        in out.getvalue()
    )
    assert "lines with neither a time `at` nor an id: 2." in out.getvalue()
    assert "user ids with a blank around them: 1." in out.getvalue()
    assert "user ids that are numbers such as 7.0: 1." in out.getvalue()


def test_what_is_in_a_column_that_is_not_used_spoils_nothing(tmp_path: Path) -> None:
    path, out = tmp_path / "labels.parquet", io.StringIO()
    far = pa.array([2**55, 0], pa.timestamp("us", "UTC"))
    pq.write_table(pa.table({"user_id": [1.0, 2.0], "value": [1, 0], "ends": far, "x": [b"\xff"] * 2}), path)
    found = import_outcomes(Console(file=out), path, Columns("n"), None)
    assert (found.good, found.bad) == (2, 0)
    csv_path = tmp_path / "labels.csv"
    csv_path.write_bytes(b"user_id,value,note,note\n1,1,\xff,\n")
    assert import_outcomes(Console(file=out), csv_path, Columns("n"), None).good == 1


def test_a_time_beyond_the_year_9999_spoils_its_own_line(tmp_path: Path) -> None:
    path, out = tmp_path / "labels.parquet", io.StringIO()
    at = pa.array([0, 2**60, 1], pa.timestamp("us", "UTC"))
    pq.write_table(pa.table({"user_id": ["a", "b", "c"], "value": [1, 0, 1], "at": at}), path)
    found = import_outcomes(Console(file=out), path, Columns("n"), None)
    assert (found.good, found.bad) == (2, 1)
    assert "line 2: a value that cannot be read" in out.getvalue()


async def test_a_batch_past_the_routers_limit_is_sent_in_parts(importing: Importing) -> None:
    rows = [{"user_id": "u" * 250 + str(number), "name": "n" * 90, "value": 1} for number in range(1000)]
    assert importing.run(table(rows)).accepted == 1000
    assert len(await importing.held()) == 1000


async def test_parquet_is_read_by_its_types(importing: Importing) -> None:
    path = importing.folder / "labels.parquet"
    at = datetime(2026, 1, 2, 3, tzinfo=UTC)
    columns = {"user_id": [1, 2, None], "repaid": [True, False, True], "at": pa.array([at] * 3)}
    pq.write_table(pa.table(columns), path)
    out = io.StringIO()
    with Client(importing.router.url) as router:
        found = import_outcomes(Console(file=out), path, Columns("repaid", "repaid"), OutcomeSender(router))
    assert (found.lines, found.accepted, found.bad) == (3, 2, 1)
    assert "line 3: give either" in out.getvalue()
    held = await importing.held()
    assert sorted((each["value"], each["at"]) for each in held) == [
        (0.0, at.timestamp()),
        (1.0, at.timestamp()),
    ]


async def test_a_redis_that_is_away_for_a_while_is_waited_for(
    importing: Importing, state: RedisServer
) -> None:
    rows = [{"user_id": f"u-{number}", "name": "n", "value": 1} for number in range(10)]
    state.pause()
    try:
        with pytest.raises(EkibenError, match="takes no outcomes"):
            importing.run(table(rows), patience_s=0.1)
    finally:
        state.resume()
    assert importing.run(table(rows)).accepted == 10
    assert len(await importing.held()) == 10


@pytest.mark.parametrize(
    ("head", "why"),
    [
        ("a,b", "no column prediction_id or user_id: it has a, b"),
        ("user_id,name", "no column value"),
        ("user_id,value", "no column name"),
        ("user_id,value,value,name", "the column value is there twice"),
        ("", "is empty"),
    ],
)
def test_a_file_without_what_is_needed_is_refused_as_a_whole(tmp_path: Path, head: str, why: str) -> None:
    path = tmp_path / "outcomes.csv"
    path.write_text(head)
    with pytest.raises(UsageError, match=why):
        import_outcomes(Console(file=io.StringIO()), path, Columns(), None)


async def test_the_command_exits_with_1_where_a_line_was_bad_and_with_2_for_no_file(
    importing: Importing,
) -> None:
    env = environment(importing.folder / "data", importing.folder / "experiments.yaml")
    env["EKIBEN_PORT"] = str(importing.router.port)
    path = importing.folder / "few.csv"
    path.write_text("user_id,value\nu-1,1\nu-2,x\n")
    done = ekiben(["outcomes", "import", str(path), "--name", "profit"], env)
    assert done.returncode == 1, done.stderr
    assert "line 3: value: not a number: 'x'" in done.stdout
    assert "1 of 2 lines imported" in done.stdout
    path.write_text("user_id,value\nu-1,1\n")
    assert ekiben(["outcomes", "import", str(path), "--name", "profit"], env).returncode == 0
    done = ekiben(["outcomes", "import", str(path / "none")], env)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert len(await importing.held()) == 1


def test_without_a_router_it_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "few.csv"
    path.write_text("user_id,value,name\nu-1,1,n\n")
    env = environment(tmp_path / "data", tmp_path / "experiments.yaml")
    done = ekiben(["outcomes", "import", str(path)], env)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "no router answers" in line
