"""The command line `ekiben`, and `ekiben up`: everything on one machine."""
