"""Grafana's dashboards: generated from the modules here."""
