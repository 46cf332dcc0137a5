"""What the operator configured: nova.conf, its ``[cellmap]`` group, and ``-x``.

All durations are seconds, all sizes are rows.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cellmap_migrations.common.errors import BadOption
from cellmap_migrations.common.sentences import NoApiDatabase
from cellmap_migrations.config import nova_conf
from cellmap_migrations.config.options import GROUP, override, refuse

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

# More rows than that have no ids.
DIGITS = 12

FILE_OPTIONS = {"config_file": "--config-file", "config_dir": "--config-dir"}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """One run's configuration. Connections are nova.conf's texts, never printed."""

    cell: str | None
    missing: str
    remove_mappings: bool
    # How many mappings without an instance the operator knows of.
    accept_orphans: int | None
    # Whether the sessions of this run may not write, not even in the API database.
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
    sleep_ratio: float
    pause_file: str | None
    max_pause: float
    api_connection: str = field(repr=False)
    api_parameters: str = field(repr=False)
    base_connection: str | None = field(repr=False)
    base_parameters: str = field(repr=False)


def last(arguments: Iterable[str], name: str) -> str | None:
    """Return the value of the last ``-x`` argument *name*, or None without one."""
    given = [pair.partition("=")[::2] for pair in arguments]
    return dict(given).get(name)


def load(arguments: Iterable[str]) -> Settings:
    """Return the settings of a run, from ``-x`` *arguments* of the form name=value.

    Files are searched and read as nova-manage reads them: ``--config-file`` in order,
    else nova.conf and nova.conf.d in their usual places, then ``OS_*`` variables.

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
    # Whoever prints has looked for it, since errors of this function are printed too.
    del run["output"]
    conf = nova_conf.new_config()
    nova_conf.read(conf, files, prog=nova_conf.NOVA_MANAGE)
    override(conf, chosen, also={*RUN_OPTIONS, *FILE_OPTIONS})
    return make(conf, **run)


def make(
    conf: cfg.ConfigOpts,
    *,
    cell: str | None,
    missing: str = "fail",
    remove_mappings: str = "no",
    accept_orphans: str | None = None,
    read_only: bool = False,
) -> Settings:
    """Return the settings that *conf* holds, and the options of this run.

    Raises NoApiDatabase, BadOption or ConfigurationError.
    """
    values = nova_conf.values(conf)
    if not values["api_connection"]:
        files = ", ".join(conf.config_file or ()) or "no file at all"
        raise NoApiDatabase(files=files)
    refuse(values[GROUP.name])
    return Settings(
        cell=cell,
        missing=missing,
        remove_mappings=remove_mappings == "yes",
        accept_orphans=whole("accept_orphans", accept_orphans),
        read_only=read_only,
        **values.pop(GROUP.name),
        **values,
    )


def run_option(name: str, value: str | None) -> Any:
    """Return the value of an option that exists only as ``-x``."""
    choices = RUN_OPTIONS[name]
    if choices is None:
        return value
    if value is None:
        return choices[0]
    if value not in choices:
        raise BadOption(name, value, f"write one of {', '.join(choices)}")
    return value


def whole(name: str, value: str | None) -> int | None:
    """Return the number of rows that an option gives; raise BadOption."""
    if value is None:
        return None
    # int() takes no more than some thousand digits.
    if not (value.isascii() and value.isdigit() and len(value) <= DIGITS):
        raise BadOption(name, value, "write the whole number that the refusal showed")
    return int(value)
