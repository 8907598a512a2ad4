"""Settings that hold for every test."""

import os

from hypothesis import HealthCheck, settings

# One profile is the same on every run and machine, so that a red build is red for its
# commit; the other looks further and is for a developer's machine:
# HYPOTHESIS_PROFILE=explore make test
settings.register_profile(
    "ci",
    derandomize=True,
    deadline=None,
    database=None,
    max_examples=100,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("explore", deadline=None, max_examples=2000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))
