"""`python -m ekiben` is the command line too."""

from __future__ import annotations

from ekiben.commands.main import main

main()
