"""Define the ``[cellmap]`` options of nova.conf. Durations are seconds."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from oslo_config import cfg

from cellmap_migrations.common.errors import BadOption
from cellmap_migrations.common.secrets import shown
from cellmap_migrations.common.sentences import UnknownOption

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping


THROTTLE = [
    cfg.FloatOpt(
        "max_lag",
        min=0,
        help="Pause between two batches while one of the replicas is more than so many "
        "seconds behind the API database.",
    ),
    cfg.ListOpt(
        "replicas",
        default=[],
        help="The replicas of the API database that max_lag is about. MariaDB and "
        "MySQL: host or host:port of each; the user of [api_database] connection logs "
        "in there. PostgreSQL: the application_name of each in pg_stat_replication.",
    ),
    cfg.IntOpt(
        "max_threads_running",
        min=1,
        help="Pause between two batches while more sessions than this are at work on "
        "the server of the API database.",
    ),
    cfg.FloatOpt(
        "sleep_ratio",
        default=0,
        min=0,
        max=100,
        help="Between two batches, sleep this many times as long as the last one "
        "took. Batches are then written one at a time.",
    ),
    cfg.StrOpt(
        "pause_file",
        help="Pause between two batches while this file is there; an absolute path.",
    ),
    cfg.FloatOpt(
        "max_pause",
        default=3600,
        min=0,
        help="End the run (exit code 75) when one pause has taken this many seconds. "
        "What cannot be measured is a reason for a pause, too.",
    ),
]

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
        min=1,
        # PostgreSQL takes 65,535 parameters in a statement.
        max=50_000,
        help="Most rows in a batch, however fast the database is. Without it 10,000, "
        "on PostgreSQL 5,000, on SQLite 25,000.",
    ),
    cfg.IntOpt(
        "writers",
        default=2,
        min=1,
        max=8,
        help="How many batches are written at the same time. They are committed one "
        "after the other.",
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
        "(exit code 75). A comparison is not cut short, and the first batch that "
        "corrects something after it is committed.",
    ),
    cfg.IntOpt(
        "max_rows",
        min=1,
        help="Stop after this many rows in one run (exit code 75): instances that were "
        "walked, and mappings that were corrected, moved or removed.",
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
    *THROTTLE,
]


def list_opts() -> list[tuple[cfg.OptGroup, list[Any]]]:
    """Return the options for ``oslo-config-generator``."""
    return [(GROUP, OPTIONS)]


def refuse(values: Mapping[str, Any]) -> None:
    """Raise BadOption for values that oslo.config lets pass."""
    for option in OPTIONS:
        value = values[option.dest]
        if value is None and option.default is not None:
            raise BadOption(option.dest, "", "it is empty")
        # Not a number is neither below a minimum nor above a maximum.
        if isinstance(value, float) and math.isnan(value):
            raise BadOption(option.dest, value, "it is not a number")
    if (values["max_lag"] is None) != (not values["replicas"]):
        raise BadOption(
            "max_lag",
            values["max_lag"],
            "set max_lag and replicas together, which names them",
        )
    least, most = values["batch_rows_min"], values["batch_rows_max"]
    if most is not None and least > most:
        raise BadOption(
            "batch_rows_min", least, f"it is more than batch_rows_max ({most})"
        )


def override(
    conf: cfg.ConfigOpts, chosen: Mapping[str, str], *, also: Collection[str]
) -> None:
    """Put ``-x name=value`` over the ``[cellmap]`` options of the files.

    Raises UnknownOption, which names *also* the keys that are no options, or
    BadOption.
    """
    known = {option.dest for option in OPTIONS}
    for name, value in chosen.items():
        if name not in known:
            names = ", ".join(sorted({*known, *also}))
            raise UnknownOption(name=shown(name), known=names)
        if not value:
            raise BadOption(name, value, "it is empty")
        try:
            conf.set_override(name, value, group=GROUP.name)
        except ValueError:
            raise BadOption(name, value, f"write {wanted(name)}") from None


def wanted(name: str) -> str:
    """Return what values the option *name* takes, in words."""
    option = next(option for option in OPTIONS if option.dest == name)
    if choices := getattr(option.type, "choices", None):
        return f"one of {', '.join(choices)}"
    whole = isinstance(option, cfg.IntOpt)
    words = "a whole number" if whole else "a number"
    limits = {"at least": "min", "at most": "max"}
    bounds = {say: getattr(option.type, name, None) for say, name in limits.items()}
    known = [f"{say} {n:g}" for say, n in bounds.items() if n is not None]
    return ", ".join([words, *known])
