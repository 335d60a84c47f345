"""The operator's rules are the rules."""

from __future__ import annotations

import yaml

from deploy.prometheus_rule import OBJECT, RULES, prometheus_rule, with_runbooks
from tests.deploy.manifests import Manifests

GROUPS = {"groups": [{"name": "g", "rules": [{"alert": "A", "expr": 'up{job="router"} == 0', "for": "1m"}]}]}


def test_the_object_holds_the_groups_as_they_are() -> None:
    made = yaml.safe_load(prometheus_rule(GROUPS))
    assert (made["apiVersion"], made["kind"]) == ("monitoring.coreos.com/v1", "PrometheusRule")
    assert made["spec"] == GROUPS


def test_the_object_in_the_repository_is_made_from_the_rules_as_they_stand() -> None:
    made = prometheus_rule(yaml.safe_load(RULES.read_text()))
    assert OBJECT.read_text() == made, "run .venv/bin/python -m deploy.prometheus_rule"


def test_the_runbooks_can_be_published_anywhere_and_moved_again() -> None:
    text = RULES.read_text()
    moved = with_runbooks(with_runbooks(text, "https://there/"), "https://here/ekiben/")
    links = [
        rule["annotations"]["runbook_url"] for g in yaml.safe_load(moved)["groups"] for rule in g["rules"]
    ]
    assert all(link.startswith("https://here/ekiben/docs/runbook.md#") for link in links)
    assert with_runbooks(moved, "") == text


def test_production_has_the_rules_where_its_operator_finds_them(prod: Manifests) -> None:
    (rule,) = prod.of("PrometheusRule")
    assert rule["metadata"]["namespace"] == prod.namespace()
    assert rule["spec"] == yaml.safe_load(OBJECT.read_text())["spec"]
