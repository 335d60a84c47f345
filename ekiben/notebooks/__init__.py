"""How do the numbers of reports get into a notebook? As pandas frames, from a controller or from event files.

    from ekiben.notebooks import open_controller

    source = open_controller("http://127.0.0.1:3100")
    source.metrics("credit-boosting")

`pip install 'ekiben[notebooks]'` installs what it needs.
"""

from ekiben.notebooks.sources import Source, open_controller, open_files

__all__ = ["Source", "open_controller", "open_files"]
