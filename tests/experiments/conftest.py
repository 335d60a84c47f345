from __future__ import annotations

from hypothesis import settings

# No deadline: no test depends on timing. Derandomised: a run fails for what changed, never by luck.
settings.register_profile("experiments", deadline=None, derandomize=True)
settings.load_profile("experiments")
