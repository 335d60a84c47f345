"""The alerts: each fires when it should, says what to do, and has an entry in the runbook."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tests.router.test_documentation import table_rows

ROOT: Final = Path(__file__).parents[2]
FOLDER: Final = ROOT / "deploy" / "prometheus"
ALERTS: Final[dict[str, Any]] = {
    rule["alert"]: rule
    for group in yaml.safe_load((FOLDER / "rules.yaml").read_text())["groups"]
    for rule in group["rules"]
}
TESTED: Final[list[dict[str, Any]]] = yaml.safe_load((FOLDER / "tests.yaml").read_text())["tests"]
RUNBOOK: Final = dict(
    re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", (ROOT / "docs" / "runbook.md").read_text(), re.M | re.S)
)
METRIC: Final = re.compile(r"\b(?:ekiben|ml|bentoml)_[a-z_]+")
SUFFIX: Final = re.compile(r"_(bucket|sum|count)$")


def documented() -> set[str]:
    """Every series that docs/metrics.md knows."""
    rows = table_rows("metrics.md")
    names = {row[0].strip("`") for row in rows}
    parts = {"histogram": ("bucket", "sum", "count"), "summary": ("sum", "count")}
    return names | {f"{row[0].strip('`')}_{part}" for row in rows for part in parts.get(row[2], ())}


promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool (Prometheus) is not installed"
)


@promtool
@pytest.mark.parametrize(
    "check",
    [["check", "config", "prometheus.yaml"], ["test", "rules", "tests.yaml"]],
    ids=["config", "rules"],
)
def test_promtool_is_content(check: list[str]) -> None:
    done = subprocess.run(["promtool", *check], cwd=FOLDER, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_is_tested_with_what_makes_it_fire_and_with_what_does_not(name: str) -> None:
    found = [
        case["exp_alerts"] for test in TESTED for case in test["alert_rule_test"] if case["alertname"] == name
    ]
    assert any(found), "it never fires"
    assert sum(not each for each in found) >= 2, "it is not seen to wait and to be quiet"


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_says_what_is_wrong_with_numbers_and_where_the_runbook_is(name: str) -> None:
    rule = ALERTS[name]
    notes = rule["annotations"]
    assert rule["labels"]["severity"] in ("critical", "warning")
    assert set(notes) == {"summary", "description", "runbook_url"}
    assert re.search(r"\d|\$value|\$labels", notes["description"])
    assert notes["runbook_url"].endswith(f"docs/runbook.md#{name.lower()}")
    assert re.fullmatch(r"\d+m", rule["for"])


def test_the_runbook_has_an_entry_for_every_alert_and_no_other() -> None:
    assert sorted(RUNBOOK) == sorted(ALERTS)


@pytest.mark.parametrize("name", RUNBOOK)
def test_an_entry_says_what_it_means_what_to_look_at_and_what_to_do(name: str) -> None:
    places = [RUNBOOK[name].index(f"**{part}**") for part in ("Means", "Look at", "Do")]
    assert places == sorted(places)
    assert "```promql\n" in RUNBOOK[name]


def test_every_link_within_the_runbook_leads_to_an_entry() -> None:
    links = re.findall(r"\]\(#(\w+)\)", "".join(RUNBOOK.values()))
    assert set(links) <= {name.lower() for name in RUNBOOK}


def test_alerts_and_runbook_name_only_metrics_that_are_documented() -> None:
    text = "".join(rule["expr"] for rule in ALERTS.values())
    text += "".join(
        line for entry in RUNBOOK.values() for line in re.findall(r"```promql\n(.*?)```", entry, re.S)
    )
    assert set(METRIC.findall(text)) - documented() == set()


def test_compose_starts_prometheus_with_these_files_and_it_scrapes_what_runs_there() -> None:
    services = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())["services"]
    (mount,) = (each for each in services["prometheus"]["volumes"] if isinstance(each, dict))
    (config,) = (each for each in services["prometheus"]["command"] if each.startswith("--config.file="))
    inside = Path(config.partition("=")[2])
    assert str(inside.parent) == mount["target"]
    assert (ROOT / "deploy" / mount["source"] / inside.name).is_file()
    jobs = {
        job["job_name"]: {
            target.partition(":")[0] for each in job["static_configs"] for target in each["targets"]
        }
        for job in yaml.safe_load((FOLDER / "prometheus.yaml").read_text())["scrape_configs"]
    }
    assert jobs.pop("prometheus") == {"localhost"}
    ours = {name for name, its in services.items() if its["image"].startswith("ekiben/")}
    assert jobs == {
        "router": {"router"},
        "controller": {"controller"},
        "version": ours - {"router", "controller"},
    }
    networks = set(services["prometheus"]["networks"])
    assert all(networks & set(services[name]["networks"]) for name in ours)
