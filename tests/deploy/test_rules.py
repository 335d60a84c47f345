"""The operator's rules are the rules."""

from __future__ import annotations

import pytest
import yaml

from deploy.prometheus_rule import OBJECT, RULES, prometheus_rule
from tests.deploy.manifests import Manifests

GROUPS = {"groups": [{"name": "g", "rules": [{"alert": "A", "expr": 'up{job="router"} == 0', "for": "1m"}]}]}


def test_the_object_holds_the_groups_as_they_are() -> None:
    made = yaml.safe_load(prometheus_rule(GROUPS))
    assert (made["apiVersion"], made["kind"]) == ("monitoring.coreos.com/v1", "PrometheusRule")
    assert made["spec"] == GROUPS


@pytest.mark.skipif(not RULES.exists(), reason=f"{RULES.name} has not been written yet")
def test_the_object_in_the_repository_is_made_from_the_rules_as_they_stand() -> None:
    made = prometheus_rule(yaml.safe_load(RULES.read_text()))
    assert OBJECT.read_text() == made, "run .venv/bin/python -m deploy.prometheus_rule"


def test_production_has_the_rules_where_its_operator_finds_them(prod: Manifests) -> None:
    (rule,) = prod.of("PrometheusRule")
    assert rule["metadata"]["namespace"] == prod.namespace()
    assert rule["spec"] == yaml.safe_load(OBJECT.read_text())["spec"]
