"""Make the API database refuse the mappings of one project."""

from tests.harness.cloud import Cloud

PROJECT = "poison"

MESSAGE = "poisoned_project"

TRIGGER = f"""
CREATE TRIGGER {MESSAGE} BEFORE INSERT ON instance_mappings
WHEN NEW.project_id = '{PROJECT}'
BEGIN SELECT RAISE(ABORT, '{MESSAGE}'); END
"""

CHECK = f"CONSTRAINT {MESSAGE} CHECK (project_id <> '{PROJECT}')"


def poison(cloud: Cloud) -> None:
    """Let no mapping of PROJECT be inserted; the refusal says MESSAGE."""
    if cloud.engine.dialect.name == "sqlite":
        cloud.sql(TRIGGER)
    else:
        cloud.sql(f"ALTER TABLE instance_mappings ADD {CHECK}")


def cure(cloud: Cloud) -> None:
    """Let the mappings of PROJECT be inserted again."""
    if cloud.engine.dialect.name == "sqlite":
        cloud.sql(f"DROP TRIGGER {MESSAGE}")
    else:
        cloud.sql(f"ALTER TABLE instance_mappings DROP CONSTRAINT {MESSAGE}")
