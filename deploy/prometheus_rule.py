"""`python -m deploy.prometheus_rule`: the alert rules as an object of Prometheus's operator.

deploy/prometheus/rules.yaml is where rules are written; the object is made from it (a test compares them).
`--runbooks https://docs.our.company/` first puts that address in front of every `runbook_url` in both: in
the repository it is the path of the page, since only who publishes the page knows where.
"""

from __future__ import annotations

import argparse
import re
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


def with_runbooks(rules: str, base: str) -> str:
    """The file with every `runbook_url` under `base`, wherever it was before."""
    return re.sub(r"(runbook_url: )\S*(?=docs/runbook\.md#)", lambda found: found[1] + base, rules)


def main() -> None:
    """Write the object."""
    parser = argparse.ArgumentParser(prog="python -m deploy.prometheus_rule", description=__doc__)
    parser.add_argument("--runbooks", metavar="URL", help="what docs/runbook.md lies under, with the last /")
    runbooks = parser.parse_args().runbooks
    text = RULES.read_text(encoding="utf-8")
    if runbooks is not None:
        text = with_runbooks(text, runbooks)
        RULES.write_text(text, encoding="utf-8")
    OBJECT.write_text(prometheus_rule(yaml.safe_load(text)), encoding="utf-8")


if __name__ == "__main__":
    main()
