"""The ``[cellmap]`` options of nova.conf. Durations are seconds, sizes are rows."""

from __future__ import annotations

from typing import Any

from oslo_config import cfg

GROUP = cfg.OptGroup("cellmap", title="Online data migrations of instance mappings")

OPTIONS = [
    cfg.FloatOpt(
        "batch_seconds",
        default=0.5,
        min=0.01,
        max=2.0,
        help="How long one batch, which is one transaction on the API database, "
        "should take. The rows per batch adapt to it.",
    ),
    cfg.IntOpt(
        "batch_rows_min",
        default=100,
        min=1,
        help="Fewest rows in a batch, however slow the database is.",
    ),
    cfg.IntOpt(
        "batch_rows_max",
        default=20_000,
        min=1,
        help="Most rows in a batch, however fast the database is.",
    ),
    cfg.IntOpt(
        "grace_seconds",
        default=600,
        min=0,
        help="An instance younger than this may still be in the hands of nova: a "
        "mapping of it that has no cell yet is left alone.",
    ),
    cfg.StrOpt(
        "on_reject",
        default="fail",
        choices=[
            ("fail", "the run ends with exit code 65 and lists the rows"),
            ("skip", "the rows are counted and listed, and do not stop the run"),
        ],
        help="What to do with instances that cannot have a mapping, such as those "
        "without a project.",
    ),
    cfg.FloatOpt(
        "time_limit",
        min=0,
        help="Stop after the batch in hand when this many seconds have passed "
        "(exit code 75). The comparison that ends a revision is not cut short.",
    ),
    cfg.IntOpt(
        "max_rows",
        min=1,
        help="Stop after this many instances in one run (exit code 75).",
    ),
    cfg.FloatOpt(
        "connect_timeout",
        default=60,
        min=1,
        help="How long to try to reach a database, whatever max_retries says in "
        "[database] and [api_database].",
    ),
    cfg.IntOpt(
        "attempts",
        default=10,
        min=1,
        help="How often a batch is tried that meets a deadlock, a lock or a lost "
        "connection. The pause between two attempts grows from 0.1 s to 5 s.",
    ),
]


def list_opts() -> list[tuple[cfg.OptGroup, list[Any]]]:
    """Return the options for ``oslo-config-generator``."""
    return [(GROUP, OPTIONS)]
