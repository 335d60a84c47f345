"""What real processes expose is what docs/metrics.md says, and no request can make it grow."""

from __future__ import annotations

import urllib.error
import urllib.request
import uuid

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.router.test_documentation import named, table_rows
from tests.watching.station import Station

# Only seen where keys are set, or the cache fails (on a machine that is busy it does).
PERHAPS = {
    "ekiben_key_requests_total",
    "ekiben_key_refusals_total",
    "ekiben_cache_failures_total",
    "ekiben_second_answers_lost_total",
    "ekiben_connections_ended_total",
    "ekiben_controller_connections_ended_total",
}
# Added by the sharing of files, by Prometheus's format, or by neither.
TECHNICAL = {"pid", "le", "quantile"}


def exposed(text: str) -> dict[str, tuple[str, list[str]]]:
    """The families with samples: their type and the labels that any sample has."""
    found = {}
    for family in text_string_to_metric_families(text):
        labels = {label for sample in family.samples for label in sample.labels} - TECHNICAL
        name = f"{family.name}_total" if family.type == "counter" else family.name
        if family.samples:
            found[name] = (family.type, sorted(labels))
    return found


@pytest.mark.parametrize(
    ("process", "of"), [("router", "router"), ("controller", "controller"), ("v1", "service")]
)
def test_the_table_has_what_a_process_exposes_and_no_more(station: Station, process: str, of: str) -> None:
    documented = {
        row[0].strip("`"): (row[2], sorted(named(row[3]))) for row in table_rows("metrics.md") if row[1] == of
    }
    found = exposed(station.metrics(process))
    assert {name: documented.get(name) for name in found} == found
    assert set(documented) - set(found) - PERHAPS == set()


@pytest.mark.parametrize("process", ["v1", "router"])
def test_two_hundred_paths_that_do_not_exist_add_no_series_beyond_one_label(
    station: Station, process: str
) -> None:
    def ask(path: str) -> int:
        try:
            with urllib.request.urlopen(f"{station.url(process)}/{path}", timeout=30) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code

    def series() -> set[str]:
        lines = station.metrics(process).splitlines()
        return {line.rpartition(" ")[0] for line in lines if not line.startswith("#")}

    assert ask("nowhere") == 404
    before = series()
    assert {ask(f"{uuid.uuid4()}/{number}") for number in range(200)} == {404}
    assert series() == before


def test_a_services_pages_are_there_although_metrics_call_them_other(station: Station) -> None:
    for path, label in (("/", "/"), ("/static_content/index.css", "other")):
        with urllib.request.urlopen(f"{station.url('v1')}{path}", timeout=30) as answer:
            assert answer.read()
        assert f'bentoml_service_request_total{{endpoint="{label}"' in station.metrics("v1")
