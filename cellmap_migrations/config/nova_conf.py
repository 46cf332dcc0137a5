"""Read nova.conf as nova-manage does, without opening a log."""

from __future__ import annotations

from functools import cache
from importlib import metadata
from typing import Any

from oslo_config import cfg

from cellmap_migrations.common import secrets
from cellmap_migrations.common.errors import ConfigurationError, RightsError
from cellmap_migrations.config.options import GROUP, OPTIONS

NOVA_MANAGE = "nova-manage"

# Errors of oslo.config for a $ that refers to an unknown option.
DOLLAR_ERRORS = (
    cfg.TemplateSubstitutionError,
    cfg.NoSuchOptError,
    cfg.NoSuchGroupError,
)


def new_config() -> cfg.ConfigOpts:
    """Return a configuration with the options of nova and ``[cellmap]`` registered."""
    conf = cfg.ConfigOpts()
    for group in ("api_database", "database"):
        conf.register_opts(
            [
                cfg.StrOpt("connection", secret=True),
                cfg.StrOpt("connection_parameters", default="", secret=True),
            ],
            group=group,
        )
    # By name, not by object: all runs in one process would share a group object and
    # the values that -x set in it.
    conf.register_opts(OPTIONS, group=GROUP.name)
    return conf


def read(conf: cfg.ConfigOpts, arguments: list[str], *, prog: str) -> None:
    """Parse the command line *arguments*, and read the configuration files.

    A usage message names *prog*. Raises RightsError or ConfigurationError.
    """
    try:
        conf(
            args=arguments,
            project="nova",
            prog=prog,
            version=version(),
            # oslo.config also reads a file named after the program. The name alembic
            # would make it read /etc/nova/alembic.conf.
            default_config_files=cfg.find_config_files("nova", NOVA_MANAGE),
            default_config_dirs=cfg.find_config_dirs("nova", NOVA_MANAGE),
        )
    except cfg.ConfigFilesPermissionDeniedError as error:
        raise RightsError(
            f"{', '.join(map(secrets.shown, error.config_files))} may not be read by "
            "this user; run as nova, or as a member of its group"
        ) from None
    except cfg.ConfigFileParseError as error:
        # The text of the error shows the line, which may contain a password.
        raise ConfigurationError(
            f"{secrets.shown(error.config_file)} is not in nova.conf's format (a "
            "line without = or a value before the first [group])"
        ) from None
    except cfg.Error as error:
        raise ConfigurationError(secrets.without_value(error)) from None
    # open() raises OSError, and decoding a binary file ValueError.
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            "nova.conf, or the file named instead, cannot be read as text: "
            f"{secrets.without_value(error)}; correct it, or name another file"
        ) from None


@cache
def version() -> str:
    """Return the version of the installed distribution, or a note without one."""
    try:
        return metadata.version("cellmap-migrations")
    except metadata.PackageNotFoundError:
        return "not installed"


def values(conf: cfg.ConfigOpts) -> dict[str, Any]:
    """Return the connections, and the options of ``[cellmap]`` under that name.

    Raises ConfigurationError.
    """
    try:
        return {
            "api_connection": conf.api_database.connection,
            "api_parameters": conf.api_database.connection_parameters,
            "base_connection": conf.database.connection,
            "base_parameters": conf.database.connection_parameters,
            GROUP.name: dict(conf[GROUP.name].items()),
        }
    except DOLLAR_ERRORS:
        # The name after the $ is not shown, because it may be a part of a password.
        raise ConfigurationError(
            "a value in nova.conf refers with $ to an option that does not exist; "
            "write $$ for a dollar sign"
        ) from None
    except RecursionError:
        raise ConfigurationError(
            "a value in nova.conf refers with $ to itself; write $$ for a dollar sign"
        ) from None
    except (cfg.ConfigFileValueError, ValueError) as error:
        why = secrets.without_value(error, " is not valid: ")
        raise ConfigurationError(why) from None
