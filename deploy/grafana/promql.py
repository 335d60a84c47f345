"""The few forms of PromQL that the dashboards are made of."""

from __future__ import annotations

from typing import Final

RATE: Final = "$__rate_interval"
"""What rates are taken over: Grafana puts in four scrape intervals at least."""
OR_ZERO: Final = " or vector(0)"


def rate(series: str, by: str = "") -> str:
    """How often a second, summed by these labels."""
    return f"sum{_by(by)}(rate({series}[{RATE}]))"


def share(part: str, whole: str, by: str = "") -> str:
    """One counter's rate as a share of another's."""
    return f"{rate(part, by)} / {rate(whole, by)}"


def mean(metric: str, selector: str = "", by: str = "") -> str:
    """The mean observation of a histogram or summary."""
    return share(f"{metric}_sum{selector}", f"{metric}_count{selector}", by)


def quantile(q: float, metric: str, selector: str = "", by: str = "", only: str = "") -> str:
    """What `q` (0 to 1) of a histogram's observations stayed within; `only` is a condition on its series."""
    labels = f"{by}, le" if by else "le"
    return f"histogram_quantile({q}, sum by ({labels}) (rate({metric}_bucket{selector}[{RATE}]){only}))"


def _by(labels: str) -> str:
    return f" by ({labels}) " if labels else ""
