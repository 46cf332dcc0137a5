"""Define the options of the group ``[cellmap]``. Durations are in seconds."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from oslo_config import cfg, types

from cellmap_migrations.common.errors import BadOption
from cellmap_migrations.common.secrets import shown
from cellmap_migrations.common.sentences import NotSettable, UnknownOption

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping


class Unlimited(float):
    """Represent infinity, which is written as ``none``."""

    def __str__(self) -> str:
        return "none"


UNLIMITED = Unlimited(math.inf)


class NumberOrNone(types.Float):
    """Parse a number, or ``none`` as UNLIMITED."""

    def __call__(self, value: Any) -> float | None:
        """Return *value* as a number; raise ValueError."""
        return UNLIMITED if value in ("none", UNLIMITED) else super().__call__(value)


THROTTLE = [
    cfg.Opt(
        "max_slowdown",
        type=NumberOrNone(min=1.0),
        default=2.0,
        help="While others write to the server of the API database, write so little "
        "that one in a hundred of their short transactions takes at most this many "
        "times as long as without this run. none: the run does not measure it.",
    ),
    cfg.FloatOpt(
        "max_lag",
        min=0,
        help="Pause while a replica is more than this many seconds behind the API "
        "database.",
    ),
    cfg.ListOpt(
        "replicas",
        default=[],
        help="The replicas of the API database to which max_lag applies. MariaDB and "
        "MySQL: host or host:port of each; the user of [api_database] connection logs "
        "in there. PostgreSQL: the application_name of each in pg_stat_replication.",
    ),
    cfg.IntOpt(
        "max_threads_running",
        min=1,
        help="Pause while the server of the API database runs statements of more than "
        "this many sessions.",
    ),
    cfg.FloatOpt(
        "sleep_ratio",
        default=0,
        min=0,
        max=100,
        help="Sleep after each batch for this many times the duration of the batch. "
        "Batches are then written one at a time.",
    ),
    cfg.StrOpt(
        "pause_file",
        help="Pause while this file exists. Give an absolute path.",
    ),
    cfg.FloatOpt(
        "max_pause",
        default=3600,
        min=0,
        help="End the run (exit code 75) when one pause has taken this many seconds. "
        "A run also pauses while it cannot measure the lag or the load.",
    ),
]

GROUP = cfg.OptGroup("cellmap", title="Online data migrations of instance mappings")

OPTIONS = [
    cfg.FloatOpt(
        "batch_seconds",
        default=0.5,
        min=0.01,
        max=2.0,
        help="Target duration of one batch, which is one transaction on the API "
        "database. The number of rows in a batch adapts to it.",
    ),
    cfg.IntOpt(
        "batch_rows_min",
        default=100,
        min=1,
        help="Smallest number of rows in a batch, even if the database is slow.",
    ),
    cfg.IntOpt(
        "batch_rows_max",
        min=1,
        # A statement on PostgreSQL may have 65,535 parameters.
        max=50_000,
        help="Largest number of rows in a batch. The default is 10,000, on PostgreSQL "
        "5,000, and on SQLite 25,000.",
    ),
    cfg.IntOpt(
        "writers",
        default=2,
        min=1,
        max=8,
        help="Number of batches that are written at the same time. They are committed "
        "one after the other.",
    ),
    cfg.IntOpt(
        "grace_seconds",
        default=600,
        min=0,
        help="Do not change a mapping without a cell while its instance is younger "
        "than this: nova may still be booting it.",
    ),
    cfg.StrOpt(
        "on_reject",
        default="fail",
        choices=[
            ("fail", "the run ends with exit code 65 and lists the rows"),
            ("skip", "the rows are counted and listed, and do not stop the run"),
        ],
        help="How to treat an instance that cannot have a mapping, such as one without "
        "a project.",
    ),
    cfg.FloatOpt(
        "time_limit",
        min=0,
        help="Stop after the current batch when this many seconds have passed (exit "
        "code 75). A comparison is not interrupted, and the first batch of "
        "corrections after it is committed.",
    ),
    cfg.IntOpt(
        "max_rows",
        min=1,
        help="Stop after this many rows in one run (exit code 75). Instances that were "
        "read count, and mappings that were corrected, moved or removed.",
    ),
    cfg.FloatOpt(
        "connect_timeout",
        default=60,
        min=1,
        help="How long to try to reach a database. max_retries in [database] and "
        "[api_database] is ignored.",
    ),
    cfg.IntOpt(
        "attempts",
        default=10,
        min=1,
        help="Number of attempts to commit a batch after a deadlock, a lock timeout or "
        "a lost connection. The pause between two attempts grows from 0.1 s to 5 s.",
    ),
    *THROTTLE,
]


# The options whose new value takes effect in a run that is under way.
SETTABLE = (
    "batch_seconds",
    "writers",
    "max_slowdown",
    "sleep_ratio",
    "max_lag",
    "max_threads_running",
    "max_pause",
)


def list_opts() -> list[tuple[cfg.OptGroup, list[Any]]]:
    """Return the options for ``oslo-config-generator``."""
    return [(GROUP, OPTIONS)]


def validate(values: Mapping[str, Any]) -> None:
    """Raise BadOption for an unusable value that oslo.config accepts."""
    for option in OPTIONS:
        value = values[option.dest]
        if value is None and option.default is not None:
            raise BadOption(option.dest, "", "it is empty")
        refuse_nan(option.dest, value)
    if (values["max_lag"] is None) != (not values["replicas"]):
        raise BadOption(
            "max_lag",
            values["max_lag"],
            "set max_lag and replicas together",
        )
    least, most = values["batch_rows_min"], values["batch_rows_max"]
    if most is not None and least > most:
        raise BadOption(
            "batch_rows_min", least, f"it is more than batch_rows_max ({most})"
        )


def refuse_nan(name: str, value: object) -> None:
    """Raise BadOption for nan, which is neither below min nor above max."""
    if isinstance(value, float) and math.isnan(value):
        raise BadOption(name, value, "it is not a number")


def override(
    conf: cfg.ConfigOpts, chosen: Mapping[str, str], *, also: Collection[str]
) -> None:
    """Set the ``[cellmap]`` options of *chosen*, which override the files.

    Raises BadOption, or UnknownOption, whose message also lists the names in *also*.
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
            raise BadOption(name, value, f"write {accepted_values(name)}") from None


def parse(name: str, text: str) -> Any:
    """Return *text* as a value of the option *name* of SETTABLE.

    Raises NotSettable for another option, or BadOption.
    """
    refuse_unsettable(name)
    if not text.strip():
        raise BadOption(name, text, "it is empty")
    option = next(option for option in OPTIONS if option.dest == name)
    try:
        value = option.type(text)
    except ValueError:
        raise BadOption(name, text, f"write {accepted_values(name)}") from None
    refuse_nan(name, value)
    return value


def refuse_unsettable(name: str) -> None:
    """Raise NotSettable unless *name* is in SETTABLE."""
    if name not in SETTABLE:
        raise NotSettable(name=shown(name), known=", ".join(SETTABLE))


def accepted_values(name: str) -> str:
    """Describe the values that the option *name* accepts."""
    option = next(option for option in OPTIONS if option.dest == name)
    if choices := getattr(option.type, "choices", None):
        return f"one of {', '.join(choices)}"
    whole = isinstance(option, cfg.IntOpt)
    words = "a whole number" if whole else "a number"
    limits = {"at least": "min", "at most": "max"}
    bounds = {say: getattr(option.type, name, None) for say, name in limits.items()}
    known = [f"{say} {n:g}" for say, n in bounds.items() if n is not None]
    none = ["or none"] if isinstance(option.type, NumberOrNone) else []
    return ", ".join([words, *known, *none])
