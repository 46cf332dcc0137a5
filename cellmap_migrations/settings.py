"""What the operator configured: nova.conf, its ``[cellmap]`` group, and ``-x``.

All durations are seconds, all sizes are rows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from oslo_config import cfg

from cellmap_migrations import secrets
from cellmap_migrations.errors import (
    BadOption,
    ConfigUnreadable,
    ConfigUnusable,
    NoApiDatabase,
    UnknownOption,
)
from cellmap_migrations.options import GROUP, OPTIONS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

RUN_OPTIONS = {
    "cell": None,
    "missing": ("fail", "skip"),
    "output": ("text", "json"),
    "remove_mappings": ("no", "yes"),
}
NOVA_MANAGE = "nova-manage"

# What oslo.config raises of a value with a dollar sign that it cannot fill in.
DOLLAR_ERRORS = (
    cfg.TemplateSubstitutionError,
    cfg.NoSuchOptError,
    cfg.NoSuchGroupError,
)
FILE_OPTIONS = {"config_file": "--config-file", "config_dir": "--config-dir"}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """One run's configuration. Connections are nova.conf's texts, never printed."""

    cell: str | None
    missing: str
    output: str
    remove_mappings: bool
    batch_seconds: float
    batch_rows_min: int
    batch_rows_max: int
    grace_seconds: int
    on_reject: str
    time_limit: float | None
    max_rows: int | None
    connect_timeout: float
    attempts: int
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

    Raises UnknownOption, BadOption, NoApiDatabase, ConfigUnusable or
    ConfigUnreadable.
    """
    given = [pair.partition("=") for pair in arguments]
    files = [
        f"{FILE_OPTIONS[name]}={value}"
        for name, _, value in given
        if name in FILE_OPTIONS
    ]
    chosen = {name: value for name, _, value in given if name not in FILE_OPTIONS}
    run = {name: run_option(name, chosen.pop(name, None)) for name in RUN_OPTIONS}
    conf = new_config()
    read(conf, files, prog=NOVA_MANAGE)
    override(conf, chosen)
    return make(conf, **run)


def make(
    conf: cfg.ConfigOpts,
    *,
    cell: str | None,
    missing: str = "fail",
    output: str = "text",
    remove_mappings: str = "no",
) -> Settings:
    """Return the settings that *conf* holds, and the options of this run.

    Raises NoApiDatabase, BadOption or ConfigUnusable.
    """
    try:
        connections = {
            "api_connection": conf.api_database.connection,
            "api_parameters": conf.api_database.connection_parameters,
            "base_connection": conf.database.connection,
            "base_parameters": conf.database.connection_parameters,
        }
        cellmap = dict(conf[GROUP.name].items())
    except DOLLAR_ERRORS:
        # The name after the dollar may be a part of a password: it is not shown.
        raise ConfigUnusable(
            "a value in nova.conf refers with $ to an option that does not exist; "
            "write $$ for a dollar sign"
        ) from None
    except (cfg.ConfigFileValueError, ValueError) as error:
        raise ConfigUnusable(secrets.mask(error)) from None
    if not connections["api_connection"]:
        raise NoApiDatabase(conf.config_file or [])
    refuse(cellmap)
    return Settings(
        cell=cell,
        missing=missing,
        output=output,
        remove_mappings=remove_mappings == "yes",
        **connections,
        **cellmap,
    )


def refuse(values: Mapping[str, Any]) -> None:
    """Raise BadOption for values that oslo.config lets pass."""
    for option in OPTIONS:
        value = values[option.dest]
        if value is None and option.default is not None:
            raise BadOption(option.dest, "", "it is empty")
        # Not a number is neither below a minimum nor above a maximum.
        if isinstance(value, float) and math.isnan(value):
            raise BadOption(option.dest, value, "it is not a number")
    least, most = values["batch_rows_min"], values["batch_rows_max"]
    if least > most:
        raise BadOption(
            "batch_rows_min", least, f"it is more than batch_rows_max ({most})"
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


def new_config() -> cfg.ConfigOpts:
    """Return a configuration that knows the options this package reads."""
    conf = cfg.ConfigOpts()
    for group in ("api_database", "database"):
        conf.register_opts(
            [
                cfg.StrOpt("connection", secret=True),
                cfg.StrOpt("connection_parameters", default="", secret=True),
            ],
            group=group,
        )
    # By name: oslo.config would share the group object, with the values that -x set
    # in it, between all runs of one process.
    conf.register_opts(OPTIONS, group=GROUP.name)
    return conf


def read(conf: cfg.ConfigOpts, arguments: list[str], *, prog: str) -> None:
    """Read nova.conf the way nova-manage does, without opening any log.

    *arguments* are those of a command line, and *prog* is its program.
    """
    try:
        conf(
            args=arguments,
            project="nova",
            prog=prog,
            # The program's name decides which files are read beside nova.conf;
            # alembic's own would add /etc/nova/alembic.conf.
            default_config_files=cfg.find_config_files("nova", NOVA_MANAGE),
            default_config_dirs=cfg.find_config_dirs("nova", NOVA_MANAGE),
        )
    except cfg.ConfigFilesPermissionDeniedError as error:
        raise ConfigUnreadable(
            f"{', '.join(error.config_files)} may not be read by this user; run as "
            "nova, or as a member of its group"
        ) from None
    except cfg.ConfigFileParseError as error:
        # Its text shows the line, and the line may be the one with the password.
        raise ConfigUnusable(
            f"{error.config_file} is not in nova.conf's format (a line without = or "
            "a value before the first [group])"
        ) from None
    except cfg.Error as error:
        raise ConfigUnusable(secrets.mask(error)) from None


def override(conf: cfg.ConfigOpts, chosen: Mapping[str, str]) -> None:
    """Put ``-x name=value`` over the ``[cellmap]`` options of the files."""
    known = {option.dest for option in OPTIONS}
    for name, value in chosen.items():
        if name not in known:
            raise UnknownOption(name, {*known, *RUN_OPTIONS, *FILE_OPTIONS})
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
    return ", ".join([words, *(f"{say} {n:g}" for say, n in bounds.items() if n)])
