"""What the docs say of the controller's settings is what there is."""

from __future__ import annotations

from ekiben.control.settings import Settings
from tests.router.test_documentation import named, table_rows


def test_the_defaults_in_the_table_are_those_of_the_controller() -> None:
    defaults = Settings.from_environ({"EKIBEN_STATE_URL": "redis://s"})
    shown = {row[0].strip("`"): named(row[1]) for row in table_rows("settings.md")}
    for name, value in (
        ("EKIBEN_CONTROLLER_PORT", defaults.port),
        ("EKIBEN_EVENTS_DAYS", defaults.events_days),
        ("EKIBEN_RECORD_EVERY_S", defaults.record_every_s),
        ("EKIBEN_ANALYSE_EVERY_S", defaults.analyse_every_s),
        ("EKIBEN_HOST", defaults.host),
        ("EKIBEN_DATA_DIR", defaults.data_dir),
        ("EKIBEN_LOG_FORMAT", defaults.log_format),
        ("EKIBEN_LOG_LEVEL", defaults.log_level),
    ):
        assert shown[name] == [str(value)], name
    assert defaults.shutdown_grace_s == 10
