"""Read nova.conf, its group ``[cellmap]`` and the ``-x`` arguments into one object.

All durations are in seconds, all sizes in rows.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cellmap_migrations.common.errors import BadOption
from cellmap_migrations.common.sentences import NoApiDatabase
from cellmap_migrations.config import nova_conf
from cellmap_migrations.config.options import GROUP, override, validate

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from oslo_config import cfg


RUN_OPTIONS = {
    "cell": None,
    "missing": ("fail", "skip"),
    "output": ("text", "json"),
    "remove_mappings": ("no", "yes"),
    "accept_orphans": None,
}

# Digits of the largest number of orphans.
DIGITS = 12

FILE_OPTIONS = {"config_file": "--config-file", "config_dir": "--config-dir"}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Hold the settings of one run. The connections are never printed."""

    # The selector of cells: a uuid, a name, local or all.
    selector: str | None
    missing: str
    remove_mappings: bool
    # The number of orphans that the operator has accepted.
    accept_orphans: int | None
    # True if the server must refuse writes to the API database, too.
    read_only: bool
    batch_seconds: float
    batch_rows_min: int
    batch_rows_max: int | None
    writers: int
    grace_seconds: int
    on_reject: str
    time_limit: float | None
    max_rows: int | None
    connect_timeout: float
    attempts: int
    max_lag: float | None
    replicas: Sequence[str]
    max_threads_running: int | None
    max_slowdown: float
    sleep_ratio: float
    pause_file: str | None
    max_pause: float
    api_connection: str = field(repr=False)
    api_parameters: str = field(repr=False)
    base_connection: str | None = field(repr=False)
    base_parameters: str = field(repr=False)


def last_value(arguments: Iterable[str], name: str) -> str | None:
    """Return the value of the last ``-x`` argument *name*, or None without one."""
    given = [pair.partition("=")[::2] for pair in arguments]
    return dict(given).get(name)


def load(arguments: Iterable[str]) -> Settings:
    """Return the settings of a run with ``-x`` *arguments* of the form name=value.

    Finds and reads files as nova-manage does: each ``--config-file`` in order, else
    nova.conf and nova.conf.d in their usual places, then the ``OS_*`` variables.

    Raises UnknownOption, BadOption, NoApiDatabase, ConfigurationError or
    RightsError.
    """
    given = [pair.partition("=") for pair in arguments]
    files = [
        f"{FILE_OPTIONS[name]}={value}"
        for name, _, value in given
        if name in FILE_OPTIONS
    ]
    chosen = {name: value for name, _, value in given if name not in FILE_OPTIONS}
    run = {name: run_option(name, chosen.pop(name, None)) for name in RUN_OPTIONS}
    # The caller reads "output" itself, because it also prints errors raised here.
    del run["output"]
    conf = nova_conf.new_config()
    nova_conf.read(conf, files, prog=nova_conf.NOVA_MANAGE)
    override(conf, chosen, also={*RUN_OPTIONS, *FILE_OPTIONS})
    selector = run.pop("cell")
    return make_settings(conf, selector=selector, **run)


def make_settings(
    conf: cfg.ConfigOpts,
    *,
    selector: str | None,
    missing: str = "fail",
    remove_mappings: str = "no",
    accept_orphans: str | None = None,
    read_only: bool = False,
) -> Settings:
    """Return the settings from *conf* and from the options of this run.

    Raises NoApiDatabase, BadOption or ConfigurationError.
    """
    values = nova_conf.values(conf)
    if not values["api_connection"]:
        files = ", ".join(conf.config_file or ()) or "no file at all"
        raise NoApiDatabase(files=files)
    validate(values[GROUP.name])
    return Settings(
        selector=selector,
        missing=missing,
        remove_mappings=remove_mappings == "yes",
        accept_orphans=parse_orphans(accept_orphans),
        read_only=read_only,
        **values.pop(GROUP.name),
        **values,
    )


def run_option(name: str, value: str | None) -> Any:
    """Return the *value* of an option that exists only as ``-x``; raise BadOption."""
    choices = RUN_OPTIONS[name]
    if choices is None:
        return value
    if value is None:
        return choices[0]
    if value not in choices:
        raise BadOption(name, value, f"write one of {', '.join(choices)}")
    return value


def parse_orphans(value: str | None) -> int | None:
    """Return *value* of ``accept_orphans`` as a number; raise BadOption."""
    if value is None:
        return None
    # int() raises ValueError for a text of more than 4,300 digits.
    if not (value.isascii() and value.isdigit() and len(value) <= DIGITS):
        raise BadOption(
            "accept_orphans", value, "write the whole number that the refusal showed"
        )
    return int(value)
