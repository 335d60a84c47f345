"""`python -m deploy.prometheus_rule`: the alert rules as an object of Prometheus's operator.

deploy/prometheus/rules.yaml is where rules are written; the object is made from it, and a test compares them.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Final

import yaml

FOLDER: Final = Path(__file__).parent
RULES: Final = FOLDER / "prometheus" / "rules.yaml"
OBJECT: Final = FOLDER / "kubernetes" / "components" / "monitoring" / "prometheus-rule.yaml"
_REMARK: Final = "# Made from deploy/prometheus/rules.yaml by python -m deploy.prometheus_rule.\n"


def prometheus_rule(rules: dict[str, Any]) -> str:
    """The PrometheusRule with these groups, as YAML."""
    made = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "ekiben", "labels": {"app.kubernetes.io/part-of": "ekiben"}},
        "spec": {"groups": rules.get("groups", [])},
    }
    return _REMARK + yaml.safe_dump(made, sort_keys=False, width=110, allow_unicode=True)


def main() -> int:
    """Write the object. Returns the exit code: 2 where there are no rules to read."""
    try:
        rules = yaml.safe_load(RULES.read_text(encoding="utf-8"))
    except OSError as error:
        sys.stderr.write(f"cannot read {RULES}: {error.strerror}\n")
        return 2
    OBJECT.write_text(prometheus_rule(rules), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
