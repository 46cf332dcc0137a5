"""The job with the oldest release of nova that this Python can read."""

from tests.harness.asking import Release
from tests.upgrade_job.promises import UpgradeJob

RELEASE = Release(
    number="19.3.2", folder=".venv-nova-19", schema="stein", has_hidden=False, fault=1
)


class TestNova19(UpgradeJob):
    """Nova 19.3.2, Stein."""
