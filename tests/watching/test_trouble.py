"""What goes wrong in a real installation is seen by the real alerts. These tests break it, and come last."""

from __future__ import annotations

from tests.watching.station import Station, wait_until


def test_a_version_that_is_gone_is_seen_in_fallbacks_breakers_and_alerts(station: Station) -> None:
    quiet = {each["metric"]["alertname"] for each in station.query("ALERTS")}
    assert "EkibenVersionGone" not in quiet
    station.stop_service("v2")
    for expected in (
        'sum(increase(ekiben_requests_total{version="v2",result="fallback"}[5m])) > 0',
        'sum(ekiben_endpoints_ready{version="v2"}) == 0',
        'ALERTS{alertname="EkibenVersionGone",model="credit",version="v2"}',
        'ALERTS{alertname="EkibenBreakerOpen",model="credit",version="v2"}',
    ):
        # A breaker is open only while somebody asks.
        wait_until(lambda promql=expected: station.send(1, fresh=True) or station.query(promql), expected)


def test_both_redis_that_are_gone_are_seen_and_predictions_go_on(station: Station) -> None:
    station.redis["cache"].kill()
    station.until('ALERTS{alertname="EkibenCacheAway",severity="warning"}')
    station.redis["state"].kill()
    station.until('ALERTS{alertname="EkibenStateAway",severity="critical"}')
    assert station.predict("somebody") == 200
    station.until("time() - max(ekiben_snapshot_confirmed_timestamp_seconds) > 2")
