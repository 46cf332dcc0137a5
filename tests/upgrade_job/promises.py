"""Test the promises of an upgrade on a cloud of any release of nova."""

import re
from pathlib import Path

from tests.harness.books import HEAD
from tests.upgrade_job.kinds import Server
from tests.upgrade_job.measures import counted, live, right
from tests.upgrade_job.story import Story
from tests.upgrade_job.table import show, shown, table

# Exit codes of `cell_v2 verify_instance`.
MAPPED, UNMAPPED, DELETED = 0, 1, 3


def verdict(server: Server) -> int:
    """Return the expected exit code of verify_instance for an instance."""
    if server.kind.where is None:
        return UNMAPPED
    return DELETED if server.kind.deleted and not server.kind.other else MAPPED


def placed(story: Story) -> dict[str, str]:
    """Return the cell in which nova's API is to find each live instance."""
    uuids = {cell.name: cell.uuid for cell in story.cloud.cells}
    return {
        one.uuid: uuids[str(one.kind.where)]
        for one in story.servers
        if verdict(one) == MAPPED
    }


class UpgradeJob:
    """Hold the tests of the job; a module for each release of nova collects them."""

    def test_nova_finds_only_what_is_mapped_before(self, story: Story) -> None:
        found = story.found_before

        assert found["active, mapped when it was built"] == story.cloud.cells[1].uuid
        assert found["active"] is None

    def test_every_cell_ends_with_the_code_that_is_its_due(self, story: Story) -> None:
        assert story.upgraded

        codes = {cell: run.code for cell, run in story.runs.items()}

        assert codes == {"cell0": 0, "cell1": 0, "cell2": 65}

    def test_only_what_has_no_project_is_left_and_named(self, story: Story) -> None:
        left = [one.uuid for one in story.servers if one.uuid not in story.upgraded]

        assert [one.kind.title for one in story.servers if one.uuid in left] == [
            "active, without a project"
        ] * 2
        assert all(uuid in story.runs["cell2"].err for uuid in left)

    def test_what_is_live_in_two_cells_is_listed(self, story: Story) -> None:
        run, _ = story.undecided

        assert run.code == 65
        assert all(one.uuid in run.err for one in story.twice)

    def test_api_finds_one_of_two_until_it_is_decided(self, story: Story) -> None:
        _, found = story.undecided

        assert found == [story.cloud.named("cell1").uuid] * len(story.twice)

    def test_upgrade_ends_once_one_of_two_is_deleted(self, story: Story) -> None:
        assert story.decided

        assert story.runs["decided"].code == 0
        assert "conflict" not in story.runs["decided"].err

    def test_every_mapping_is_right(self, story: Story) -> None:
        wrong = [
            (one.kind.title, story.decided.get(one.uuid))
            for one in story.servers
            if not right(one, story.cloud, story.decided)
        ]

        assert wrong == []

    def test_second_upgrade_has_nothing_to_do_in_any_way(self, story: Story) -> None:
        before = story.decided

        finished = [(run.code, run.out) for run in story.repeated.values()]

        assert finished == [(0, "")] * len(finished)
        assert story.left["ours"] == before

    def test_every_cell_has_its_stamp(self, story: Story) -> None:
        assert story.repeated

        assert story.cloud.versions() == {c.uuid: HEAD for c in story.cloud.cells}

    def test_hostile_folder_ran_nothing(self, story: Story, trace: Path) -> None:
        assert story.repeated

        assert not trace.exists()

    def test_api_finds_every_live_instance_in_its_cell(self, story: Story) -> None:
        expected = placed(story)

        assert {uuid: story.found["ours"][uuid] for uuid in expected} == expected

    def test_verify_instance_says_what_each_instance_is(self, story: Story) -> None:
        expected = {one.uuid: verdict(one) for one in story.servers}

        assert story.verified == expected

    def test_mappings_that_quotas_may_count_are_those_of_live_instances(
        self, story: Story
    ) -> None:
        assert counted(story.left["ours"].values()) == live(story.cloud)

    def test_map_instances_adds_nothing(self, story: Story) -> None:
        codes, added = story.mapped_again

        # Where there is no project it cannot go on, as ever.
        assert codes == [0, 0, story.cloud.nova.release.fault]
        assert added == set()

    def test_online_data_migrations_find_nothing_of_theirs(self, story: Story) -> None:
        rows = re.findall(
            r"(populate_queued_for_delete|populate_user_id) +\| +(\d+) +\| +(\d+)",
            story.migrated.out,
        )

        assert story.migrated.code == 0
        assert sorted(rows) == [
            ("populate_queued_for_delete", "0", "0"),
            ("populate_user_id", "0", "0"),
        ]

    def test_nova_works_on_as_in_a_cloud_never_touched(self, story: Story) -> None:
        ours, novas = (
            {command: (run.code, in_cells(run.out)) for command, run in done.items()}
            for done in (story.maintained["ours"], story.maintained["nova's"])
        )

        assert ours == novas

    def test_nova_is_content_with_the_cells(self, story: Story) -> None:
        done = story.maintained["ours"]

        assert done["purge"].code == 0
        assert re.search(r"Check: Cells v2 *\|\n\| Result: Success", done["status"].out)

    def test_delete_cell_is_refused(self, story: Story) -> None:
        assert story.maintained["ours"]["refuse"].code == 3

    def test_archive_leaves_no_mapping_of_what_is_gone(self, story: Story) -> None:
        assert story.maintained
        gone = {one.uuid for one in story.servers if one.kind.deleted}

        assert not gone & story.cloud.mappings().keys()

    def test_repair_maps_what_archive_unmapped(self, story: Story) -> None:
        expected = placed(story)

        assert {uuid: story.mended[uuid] for uuid in expected} == expected

    def test_side_by_side_is_what_the_page_shows(self, story: Story) -> None:
        release = story.cloud.nova.release.number
        measured = table(story)
        show(release, measured)

        assert shown(release) == measured


def in_cells(out: str) -> list[str]:
    """Return what nova printed, without what differs by the mappings there were."""
    return [line for line in out.splitlines() if "instance_mappings" not in line]
