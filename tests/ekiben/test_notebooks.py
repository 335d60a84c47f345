"""Reports as CSV and as frames, and the example notebook: numbers of planted events, all the way."""

from __future__ import annotations

import asyncio
import io
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pandas as pd
import pytest

from ekiben.clients.controller import ControllerClient
from ekiben.control.desk import SHADOW_REPORTS_KEY
from ekiben.notebooks import Source, open_controller, open_files
from ekiben.state.documents.document import dump_document
from ekiben.terminal.errors import EkibenError
from tests.control import evidence
from tests.control.analysis.events import DAY, HOUR, KEY, START, Log, metric, stored
from tests.control.conftest import Scene, scene_over
from tests.redis_server import RedisServer

ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / "docs" / "notebooks" / "reports.ipynb"
NOW = START + 30 * DAY
HELD = stored(
    metric(),
    metric("kept", "proportion", guardrail={"max_worse": 0.05}),
    shadow={"v3": 100},
    segments=["plan"],
)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Source:
    """600 users of two variants on several days, the treatment's with more profit, and a shadow."""
    folder = tmp_path_factory.mktemp("notebook")
    log = Log(str(folder / "events"))
    for number in range(600):
        variant = ("control", "treatment")[number % 2]
        at = number * HOUR / 5
        prediction = log.exposure(f"u{number}", variant, at, attributes='{"plan":"pro"}')
        log.outcome(number % 7 + 3 * (number % 2), at + 60, prediction=prediction)
        log.shadow(prediction, 0.6, 0.5, at=START + 29 * DAY)
    log.outcome(1.0, user="a-stranger")
    log.write()
    (folder / "experiments.yaml").write_text(json.dumps(dump_document(HELD.document)))
    return open_files(folder / "events", folder / "experiments.yaml", NOW)


@pytest.fixture
async def controller(
    files: Source, redis: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Scene]:
    """A controller that has the reports of those files."""
    async with scene_over(redis.url, tmp_path) as scene:
        await scene.put(HELD.document)
        await evidence.put_report(scene.redis, files.report(KEY))
        shadows = {
            f"{number}": msgspec.json.encode(each) for number, each in enumerate(files.shadow_reports())
        }
        await scene.redis.hset(SHADOW_REPORTS_KEY, mapping=shadows)  # type: ignore[misc, arg-type]
        await scene.desk.look()
        monkeypatch.setenv("EKIBEN_CONTROLLER_URL", scene.url.removesuffix("/api"))
        yield scene


def test_a_row_holds_the_numbers_of_the_report(files: Source) -> None:
    made = files.report(KEY)
    frame = files.metrics(KEY).set_index(["metric", "variant"])
    assert made.deciding is not None
    effect = made.deciding.effects["treatment"]
    row = frame.loc[("profit", "treatment")]
    assert (row.users, row.assigned_users, row.version) == (300, 300, "v2")
    assert row.effect_absolute == effect.absolute == pytest.approx(3, abs=0.1)
    assert (row.effect_low, row.effect_high) == (effect.interval.low, effect.interval.high)
    assert frame.loc[("profit", "control")].effect_absolute != row.effect_absolute
    assert len(frame) == 2 * len(made.metrics)


def test_a_series_and_what_is_left_out_are_frames(files: Source) -> None:
    made = files.report(KEY)
    series = files.series()
    assert made.deciding is not None
    assert list(series.absolute) == [
        point.absolute for metric in made.metrics for point in metric.series.get("treatment", ())
    ]
    assert str(series["at"].dtype).endswith("UTC]")
    left = files.left_out()
    assert left[left.code == "unknown_user"]["count"].tolist() == [1]


def test_segments_and_days_are_frames(files: Source) -> None:
    segments = files.segments(KEY).set_index(["attribute", "segment", "metric"])
    assert segments.loc[("plan", "pro", "profit")].effect_absolute == pytest.approx(3, abs=0.1)
    assert segments.loc[("plan", "pro", "profit")].state == "better"
    days = files.days()
    assert days[days.metric == "profit"].users.tolist() == [200, 240]
    assert str(days["since"].dtype).endswith("UTC]")


async def test_a_controller_and_files_give_the_same_frames(files: Source, controller: Scene) -> None:
    asked = open_controller()
    for name in ("metrics", "series", "days", "segments", "left_out", "shadows"):
        frame = await asyncio.to_thread(getattr(asked, name))
        assert len(frame) > 0
        assert_same(frame, getattr(files, name)())
    with pytest.raises(EkibenError, match="no experiment"):
        await asyncio.to_thread(asked.metrics, "another")


async def test_csv_has_the_rows_of_the_frame(files: Source, controller: Scene) -> None:
    client = ControllerClient(controller.url.removesuffix("/api"), {})
    text = (await asyncio.to_thread(client.report_csv, KEY)).decode()
    frame = files.metrics()
    read = pd.read_csv(io.StringIO(text))
    read["report_at"] = pd.to_datetime(read["report_at"], unit="s", utc=True)
    assert_same(read, frame)
    wrong = await controller.ask("GET", f"/experiments/{KEY}/report?format=xml")
    assert wrong.status == 400


def test_the_columns_are_those_of_the_page(files: Source) -> None:
    page = (ROOT / "docs" / "command-line.md").read_text()
    _, _, part = page.partition("`ekiben report EXPERIMENT --csv`")
    table, _, _ = part.partition("\n`ekiben")
    named = [name for cell in re.findall(r"^\| (`.*?`) \|", table, re.MULTILINE) for name in cell.split(", ")]
    assert [name.strip("`") for name in named] == list(files.metrics().columns)


async def test_the_example_notebook_runs(controller: Scene) -> None:
    made = await asyncio.to_thread(_run, NOTEBOOK)
    assert isinstance(made["metrics"], pd.DataFrame)
    assert made["precision"].loc[(KEY, "profit", "treatment")] > 0
    assert len(made["deciding"]) > 0
    assert made["chart"].to_dict()["layer"]


def assert_same(*frames: pd.DataFrame) -> None:
    """The same values. A column's type is not told by CSV, nor by JSON of whole numbers."""
    pd.testing.assert_frame_equal(*(frame.astype(object).where(frame.notna(), None) for frame in frames))


def _run(notebook: Path) -> dict[str, Any]:
    """Execute the cells in order, as a kernel would; returns the names that they made."""
    names: dict[str, Any] = {}
    for cell in json.loads(notebook.read_text())["cells"]:
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), str(notebook), "exec"), names)
    return names
