"""nova.conf, read the way nova-manage reads it, without opening any log."""

from __future__ import annotations

from functools import cache
from importlib import metadata
from typing import Any

from oslo_config import cfg

from cellmap_migrations.common import secrets
from cellmap_migrations.common.errors import ConfigurationError, RightsError
from cellmap_migrations.config.options import GROUP, OPTIONS

NOVA_MANAGE = "nova-manage"

# What oslo.config raises of a value with a dollar sign that it cannot fill in.
DOLLAR_ERRORS = (
    cfg.TemplateSubstitutionError,
    cfg.NoSuchOptError,
    cfg.NoSuchGroupError,
)


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
    """Read the files that the command line *arguments* and nova's rules name.

    *prog* is the program that a usage message names. Raises RightsError or
    ConfigurationError.
    """
    try:
        conf(
            args=arguments,
            project="nova",
            prog=prog,
            version=version(),
            # The program's name decides which files are read beside nova.conf;
            # alembic's own would add /etc/nova/alembic.conf.
            default_config_files=cfg.find_config_files("nova", NOVA_MANAGE),
            default_config_dirs=cfg.find_config_dirs("nova", NOVA_MANAGE),
        )
    except cfg.ConfigFilesPermissionDeniedError as error:
        raise RightsError(
            f"{', '.join(map(secrets.shown, error.config_files))} may not be read by "
            "this user; run as nova, or as a member of its group"
        ) from None
    except cfg.ConfigFileParseError as error:
        # Its text shows the line, and the line may be the one with the password.
        raise ConfigurationError(
            f"{secrets.shown(error.config_file)} is not in nova.conf's format (a "
            "line without = or a value before the first [group])"
        ) from None
    except cfg.Error as error:
        raise ConfigurationError(secrets.without_value(error)) from None
    # What open() raises, and of a file that is not text.
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"nova.conf, or a file named in its place, is not to be read as text: "
            f"{secrets.without_value(error)}; correct it, or name another one"
        ) from None


@cache
def version() -> str:
    """Return the version of the distribution that is installed, if one is."""
    try:
        return metadata.version("cellmap-migrations")
    except metadata.PackageNotFoundError:
        return "not installed"


def values(conf: cfg.ConfigOpts) -> dict[str, Any]:
    """Return the connections by name, and the ``[cellmap]`` options as one dict.

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
        # The name after the dollar may be a part of a password: it is not shown.
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
