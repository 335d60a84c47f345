"""What do people see in a browser? Pages rendered on the server from what the desk knows."""

from ekiben.control.dashboard.app import Dashboard

__all__ = ["Dashboard"]
