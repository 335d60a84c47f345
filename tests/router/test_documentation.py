"""What the docs say of settings and metrics is what there is."""

from __future__ import annotations

import re
from pathlib import Path

from router.gauges import Gauges
from router.records.metrics import Metrics
from router.settings import Settings

ROOT = Path(__file__).parents[2]


def table_rows(page: str) -> list[list[str]]:
    """The cells of every table row in a page of docs/, without heads."""
    lines = [line for line in (ROOT / "docs" / page).read_text().splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def named(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def test_every_setting_of_the_code_is_in_the_table_and_no_other() -> None:
    folders = ("control", "ekiben", "experiments", "process", "router", "services", "state", "training")
    code = "".join(path.read_text() for folder in folders for path in (ROOT / folder).rglob("*.py"))
    used = set(re.findall(r"\bEKIBEN_[A-Z]+(?:_[A-Z]+)*\b|\bREDIS_URL\b", code))
    documented = [
        name for row in table_rows("settings.md") if not (name := row[0].strip("`")).startswith("OTEL_")
    ]
    assert sorted(documented) == sorted(set(documented)), "a setting twice"
    assert set(documented) == used


def test_the_defaults_in_the_table_are_those_of_the_router() -> None:
    environ = {"EKIBEN_CACHE_URL": "redis://c", "EKIBEN_STATE_URL": "redis://s"}
    defaults = Settings.from_environ(environ)
    shown = {row[0].strip("`"): named(row[1]) for row in table_rows("settings.md")}
    for name, value in (
        ("EKIBEN_HOST", defaults.host),
        ("EKIBEN_PORT", defaults.port),
        ("EKIBEN_WORKERS", defaults.workers),
        ("EKIBEN_DATA_DIR", defaults.data_dir),
        ("EKIBEN_EXPERIMENTS_FILE", defaults.experiments_file),
        ("EKIBEN_MAX_BODY_BYTES", defaults.max_body_bytes),
        ("EKIBEN_MAX_ELEMENTS", defaults.max_elements),
        ("EKIBEN_LOCAL_CACHE_ENTRIES", defaults.local_cache_entries),
        ("EKIBEN_EXPOSURES_MAX_BYTES", defaults.exposures_max_bytes),
        ("EKIBEN_BODIES_MAX_BYTES", defaults.bodies_max_bytes),
        ("EKIBEN_KEEP_ALIVE_S", defaults.connections.keep_alive_s),
        ("EKIBEN_MAX_CONNECTIONS", defaults.connections.most),
        ("EKIBEN_DRAIN_S", int(defaults.drain_s)),
        ("EKIBEN_SHUTDOWN_GRACE_S", int(defaults.shutdown_grace_s)),
        ("EKIBEN_LOG_FORMAT", defaults.log_format),
        ("EKIBEN_LOG_LEVEL", defaults.log_level),
    ):
        assert shown[name] == [str(value)], name


def test_every_metric_that_is_registered_is_in_the_table_with_its_type_and_labels() -> None:
    metrics = Metrics()
    gauges = Gauges(metrics)
    registered = {}
    for metric in (*vars(metrics).values(), *vars(gauges).values()):
        if hasattr(metric, "_labelnames"):
            (family,) = metric.describe()
            name = f"{family.name}_total" if family.type == "counter" else family.name
            registered[name] = (family.type, list(metric._labelnames))
    rows = [row for row in table_rows("metrics.md") if row[1] == "router"]
    assert {row[0].strip("`"): (row[2], named(row[3])) for row in rows} == registered
