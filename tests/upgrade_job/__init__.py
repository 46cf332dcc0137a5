"""Clouds that nova built, upgraded, and what nova says of them afterwards."""

import pytest

pytest.register_assert_rewrite("tests.upgrade_job.promises")
