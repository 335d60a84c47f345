"""Grafana's dashboards: generated, and each panel has data in a real Prometheus that scraped a real run."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from deploy.grafana.generate import BOARDS, FOLDER, files
from tests.watching.station import EXPERIMENT, Station, wait_until
from tests.watching.test_rules import METRIC, RUNBOOK, documented

DEPLOY: Final = Path(__file__).parents[2] / "deploy"
READ: Final[dict[str, Any]] = {path.name: json.loads(path.read_text()) for path in FOLDER.glob("*.json")}
EXPRESSIONS: Final = sorted(
    {
        target["expr"]
        for board in READ.values()
        for panel in board["panels"]
        for target in panel.get("targets", [])
    }
)


def asked(promql: str, version: str = "v1") -> str:
    """The query as Grafana sends it, with what is chosen in the dashboard filled in."""
    chosen = {"$__rate_interval": "5m", "$model": "credit", "$version": version, "$experiment": EXPERIMENT}
    for name, value in chosen.items():
        promql = promql.replace(name, value)
    assert "$" not in promql
    return promql


def has_data(station: Station, promql: str) -> bool:
    return any(math.isfinite(float(sample["value"][1])) for sample in station.query(promql))


def test_the_dashboards_in_the_repository_are_the_generated_ones() -> None:
    made = files()
    assert {path.name: path.read_text() for path in FOLDER.glob("*.json")} == made, (
        "run .venv/bin/python -m deploy.grafana.generate"
    )


def test_panels_do_not_overlap_and_each_has_an_id_of_its_own() -> None:
    for board in READ.values():
        places = [panel["gridPos"] for panel in board["panels"]]
        cells = [
            (x, y)
            for place in places
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        ]
        assert len(cells) == len(set(cells))
        assert max(place["x"] + place["w"] for place in places) == 24
        assert len({panel["id"] for panel in board["panels"]}) == len(places)


def test_dashboards_name_only_metrics_that_are_documented() -> None:
    assert set(METRIC.findall("\n".join(EXPRESSIONS))) - documented() == set()


def test_compose_gives_grafana_the_datasource_and_the_dashboards() -> None:
    service = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]["grafana"]
    mounts = {mount["target"]: mount["source"] for mount in service["volumes"] if isinstance(mount, dict)}
    provisioning = DEPLOY / mounts["/etc/grafana/provisioning"]
    (source,) = yaml.safe_load((provisioning / "datasources" / "ekiben.yaml").read_text())["datasources"]
    assert source["url"] == "http://prometheus:9090"
    (provider,) = yaml.safe_load((provisioning / "dashboards" / "ekiben.yaml").read_text())["providers"]
    assert (DEPLOY / mounts[provider["options"]["path"]]).resolve() == FOLDER.resolve()


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_every_panel_has_data(station: Station, version: str) -> None:
    queries = {asked(promql, version) for promql in EXPRESSIONS}
    left = set(queries)

    def all_have_data() -> bool:
        left.difference_update({promql for promql in left if has_data(station, promql)})
        return not left

    try:
        wait_until(all_have_data, "every panel has data", within_s=20)
    except AssertionError:
        assert left == set()


def test_the_choices_of_a_dashboard_are_those_that_there_are(station: Station) -> None:
    for board in BOARDS:
        for name, query in board.variables.items():
            selector, label = re.fullmatch(r"label_values\((.*), (\w+)\)", query).groups()  # type: ignore[union-attr]
            found = {each["metric"].get(label) for each in station.query(asked(selector))}
            assert found == {"model": {"credit"}, "version": {"v1", "v2"}, "experiment": {EXPERIMENT}}[name]


def test_prometheus_understands_every_query_of_the_runbook(station: Station) -> None:
    blocks = [
        block for entry in RUNBOOK.values() for block in re.findall(r"```promql\n(.*?)```", entry, re.S)
    ]
    for line in {line for block in blocks for line in block.splitlines()}:
        station.query(line)


def test_labels_and_training_are_compared_at_the_same_threshold(station: Station) -> None:
    """Held-out rows were sent, so the two must be alike; at the threshold of its decisions v1 has 0.52."""
    for version in ("v1", "v2"):
        of = f'version="{version}"'
        (seen,) = station.query(f"max(ml_model_accuracy{{{of}}})")
        (trained,) = station.query(f"max(ml_model_training_accuracy{{{of}}})")
        assert abs(float(seen["value"][1]) - float(trained["value"][1])) < 0.12
        assert station.query(
            f"max by (model_version) (ml_model_accuracy{{{of}}})"
            f" / on (model_version) max by (model_version) (ml_model_training_accuracy{{{of}}})"
        )
