"""How many examples are tried: few by default, many with HYPOTHESIS_PROFILE=thorough."""

import os

import pytest
from hypothesis import HealthCheck, Phase, settings

pytest.register_assert_rewrite("tests.properties.walk")

COMMON = {
    "deadline": None,
    "database": None,
    "print_blob": False,
    "suppress_health_check": [
        HealthCheck.too_slow,
        HealthCheck.function_scoped_fixture,
        HealthCheck.data_too_large,
        HealthCheck.large_base_example,
    ],
}
# The gate tries the same examples each time, so that a failure is the change's and not the day's.
settings.register_profile("default", max_examples=12, derandomize=True, **COMMON)
settings.register_profile("thorough", max_examples=1500, **COMMON)
# Looks for a first failure only, and prints it as it is.
settings.register_profile(
    "hunt",
    max_examples=int(os.environ.get("EXAMPLES", "300")),
    report_multiple_bugs=False,
    phases=[Phase.generate],
    **COMMON,
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))
