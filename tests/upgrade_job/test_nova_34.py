"""The job with the newest release of nova that is known here."""

from tests.harness.asking import NEWEST
from tests.upgrade_job.measures import live
from tests.upgrade_job.promises import UpgradeJob
from tests.upgrade_job.story import Story

RELEASE = NEWEST


class TestNova34(UpgradeJob):
    """Nova 34.0.0, and what Stein does not answer."""

    def test_nova_counts_the_live_instances_of_each_user(self, story: Story) -> None:
        found = story.quotas["ours"]

        owners = live(story.cloud)
        projects = {
            project: sum(n for (of, _), n in owners.items() if of == project)
            for project, _ in owners
        }
        assert found == [[projects[owner[0]], n] for owner, n in owners.items()]

    def test_quotas_may_count_mappings(self, story: Story) -> None:
        assert story.upgraded

        assert (story.populated_before, story.populated) == (False, True)
