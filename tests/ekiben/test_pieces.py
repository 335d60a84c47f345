"""The parts of the command line that only compute."""

from __future__ import annotations

import re
import socket
from pathlib import Path
from typing import Any

import pytest

from ekiben.clients.document import bench_document, read_document, write_document
from ekiben.control.settings import Settings as ControllerSettings
from ekiben.demo.replay import Answer, draw
from ekiben.demo.shadow_counts import ShadowCounts, parse_shadow_counts
from ekiben.demo.tables import quantile, version_rows
from ekiben.experiments.parsing import parse_document
from ekiben.project.models import read_models
from ekiben.project.names import class_name, module_name
from ekiben.terminal.errors import EkibenError
from ekiben.terminal.settings import Settings, api_key
from ekiben.up.launch import check_ports, services_of
from router.settings import Settings as RouterSettings

ROOT = Path(__file__).parents[2]
OURS = ROOT / "experiments.yaml"

METRICS = """\
# TYPE ekiben_shadow_comparisons_total counter
ekiben_shadow_comparisons_total{model="credit",version="v3",against="v1",agree="true"} 70.0
ekiben_shadow_comparisons_total{model="credit",version="v3",against="v1",agree="false"} 30.0
ekiben_shadow_comparisons_total{model="credit",version="v3",against="v2",agree="true"} 19.0
ekiben_shadow_comparisons_total{model="other",version="v3",against="v2",agree="true"} 1000.0
# TYPE ekiben_shadow_score_difference summary
ekiben_shadow_score_difference_sum{model="credit",version="v3",against="v1"} 5.0
ekiben_shadow_score_difference_count{model="credit",version="v3",against="v1"} 100.0
# TYPE ekiben_shadow_dropped_total counter
ekiben_shadow_dropped_total{model="credit",version="v3"} 2.0
# TYPE ekiben_shadow_failed_total counter
ekiben_shadow_failed_total{model="credit",version="v3"} 3.0
"""


def test_the_file_that_make_up_serves_is_valid_and_every_version_of_it_is_started_here() -> None:
    document = read_document(OURS).document
    services, elsewhere = services_of(document, read_models(ROOT))
    versions = [f"{name}_{version}" for name, model in document.models.items() for version in model.versions]
    assert [each.name for each in services] == versions
    assert elsewhere == []


def test_an_endpoint_that_is_not_listed_or_on_another_machine_is_taken_as_running() -> None:
    document = parse_document(
        {
            "models": {
                "credit": {
                    "live": "v1",
                    "versions": {
                        "v1": {"endpoints": ["http://10.0.0.9:3001", "http://localhost:3002"]},
                        "v99": {"endpoints": ["http://127.0.0.1:3003"]},
                    },
                }
            }
        }
    )
    services, elsewhere = services_of(document, read_models(ROOT))
    assert [(each.name, each.url) for each in services] == [("credit_v1-2", "http://127.0.0.1:3002")]
    assert elsewhere == ["http://10.0.0.9:3001", "http://127.0.0.1:3003"]


def test_names_of_modules_and_classes_follow_from_model_and_version() -> None:
    assert (module_name("credit", "v2"), class_name("credit", "v2")) == ("services.credit.v2", "CreditV2")
    assert (module_name("loan-risk", "2024_b"), class_name("loan-risk", "2024_b")) == (
        "services.loan_risk.2024_b",
        "LoanRisk2024B",
    )


@pytest.mark.parametrize("settings", [Settings, RouterSettings, ControllerSettings])
def test_an_empty_variable_is_one_that_is_not_set(settings: Any) -> None:
    names = set(re.findall(r"`(EKIBEN_[A-Z_]+)`", (ROOT / "docs" / "settings.md").read_text()))
    assert len(names) > 40
    assert settings.from_environ(dict.fromkeys(names, "")) == settings.from_environ({})


def test_a_taken_port_is_one_line_that_names_who_wants_it_and_where_to_change_it() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(EkibenError) as raised:
            check_ports({"credit_v2": (port, "experiments.yaml")})
    line = str(raised.value)
    assert f"port {port}, wanted by credit_v2, is taken" in line
    assert "experiments.yaml" in line
    assert "\n" not in line


def test_two_of_ours_that_want_one_port_are_told() -> None:
    with pytest.raises(EkibenError, match="the router and credit_v1 both want port 13290"):
        check_ports({"the router": (13290, "--port"), "credit_v1": (13290, "experiments.yaml")})


def test_the_demo_draws_the_same_requests_every_time_and_every_user_comes() -> None:
    rows = [{"age": age} for age in range(1337)]
    requests = draw(rows)
    assert requests == draw(rows)
    assert len(requests) == 2000
    assert len({each.user for each in requests}) == 1500
    theirs = {(each.user, each.features["age"]) for each in requests}
    assert len(theirs) == 1500


def test_the_bench_document_has_equal_parts_and_no_shadow_and_can_be_written_and_read(tmp_path: Path) -> None:
    document = bench_document(read_document(OURS).document)
    write_document(document, tmp_path / "bench.yaml", "made by a test")
    assert read_document(tmp_path / "bench.yaml").document == document
    assert document.models["credit"].shadow == {}
    experiment = document.experiments["credit-boosting"]
    assert [variant.weight for variant in experiment.variants.values()] == [50, 50]
    assert experiment.coverage == 100


def test_three_variants_share_a_bench_so_that_the_weights_still_make_100() -> None:
    data = {
        "models": {"m": {"live": "a", "versions": {v: {"endpoints": [f"http://host-{v}:1"]} for v in "abc"}}},
        "experiments": {
            "e": {
                "model": "m",
                "status": "running",
                "variants": {
                    v: {"version": v, "weight": w} for v, w in zip("abc", (80, 10, 10), strict=True)
                },
            }
        },
    }
    measured = bench_document(parse_document(data))
    weights = [variant.weight for variant in measured.experiments["e"].variants.values()]
    assert sum(weights) == pytest.approx(100)
    assert max(weights) - min(weights) < 0.02
    assert parse_document(measured.model_dump(mode="json", by_alias=True, exclude_defaults=True)) == measured


def test_shadow_counters_are_read_for_one_model_and_what_was_before_is_taken_away() -> None:
    counts = parse_shadow_counts(METRICS, "credit")
    against_v1 = counts.comparisons["v3", "v1"]
    assert against_v1.agreement == pytest.approx(0.7)
    assert against_v1.mean_difference == pytest.approx(0.05)
    assert counts.comparisons["v3", "v2"].mean_difference is None
    assert counts.settled == 124
    assert counts.since(counts).settled == 0
    assert parse_shadow_counts("", "credit") == ShadowCounts({}, 0)


def test_rows_count_users_once_and_compare_their_share_with_the_weight() -> None:
    document = read_document(OURS).document
    answers = [
        *(Answer(f"u{n}", 200, float(n), "v1", cached=n % 2 == 0) for n in range(1, 9)),
        Answer("u1", 200, 9.0, "v1"),
        Answer("u9", 200, 1.0, "v2"),
        Answer("u10", 200, 1.0, "v2"),
        Answer("u11", 503, 1.0),
    ]
    one, two, three = version_rows(document, "credit", answers, parse_shadow_counts(METRICS, "credit"))
    assert (one.users, one.requests, one.cached, one.p50_ms, one.p99_ms) == (8, 9, 4, 5.0, 9.0)
    assert (one.share, one.expected_share, one.role) == (0.8, 0.5, "live, control")
    assert (two.share, two.expected_share) == (0.2, pytest.approx(0.5))
    assert (three.requests, three.p50_ms, three.role) == (0, None, "shadow")
    assert set(three.shadow) == {"v1", "v2"}


def test_coverage_leaves_the_rest_to_live() -> None:
    document = read_document(OURS).document
    experiment = document.experiments["credit-boosting"].model_copy(update={"coverage": 50.0})
    half = document.model_copy(update={"experiments": {"credit-boosting": experiment}})
    shares = {
        row.version: row.expected_share for row in version_rows(half, "credit", [], ShadowCounts({}, 0))
    }
    assert shares == {"v1": pytest.approx(0.75), "v2": pytest.approx(0.25), "v3": 0.0}


def test_a_quantile_is_a_value_that_was_seen() -> None:
    assert quantile([], 0.5) is None
    assert quantile([3.0], 0.99) == 3.0
    assert quantile([float(n) for n in range(1, 101)], 0.99) == 99.0
    assert quantile([float(n) for n in range(1, 101)], 0.50) == 50.0


@pytest.mark.parametrize(
    ("environ", "key"),
    [
        ({}, None),
        ({"EKIBEN_API_KEYS": "a:predict:5,b"}, "a"),
        ({"EKIBEN_API_KEYS": "a", "EKIBEN_API_KEY": "mine"}, "mine"),
    ],
)
def test_the_command_line_shows_its_own_key_or_the_routers_first(
    environ: dict[str, str], key: str | None
) -> None:
    assert api_key(environ) == key
