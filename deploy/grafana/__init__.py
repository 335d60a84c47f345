"""What does Grafana show? Dashboards, generated from the modules here."""
