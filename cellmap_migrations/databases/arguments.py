"""Arguments of a URL that a row of ``cell_mappings`` may have, and their values.

Beside where the database is and as whom to log in: nothing that runs SQL or code, that
sends what is in a local file to the server, or that writes a file. nova.conf may have
what a driver takes.
"""

from __future__ import annotations

import re

ANY = re.compile(".*", re.DOTALL)

# PyMySQL puts it into SET NAMES as it is (1.2), which takes more than one assignment.
NAME = re.compile(r"\w+")

# Not read_default_file, whose password goes to any host; not init_command,
# local_infile and client_flag.
MYSQL = dict.fromkeys(
    [
        "binary_prefix",
        "bind_address",
        "charset",
        "collation",
        "connect_timeout",
        "program_name",
        "read_timeout",
        "sql_mode",
        "ssl_ca",
        "ssl_capath",
        "ssl_cert",
        "ssl_check_hostname",
        "ssl_cipher",
        "ssl_disabled",
        "ssl_key",
        "ssl_key_password",
        "ssl_verify_cert",
        "ssl_verify_identity",
        "unix_socket",
        "use_unicode",
        "write_timeout",
    ],
    ANY,
)

MYSQL |= {"charset": NAME, "collation": NAME, "sql_mode": re.compile(r"[\w,]*")}

# Not passfile, service and conninfo, whose passwords go to any host; not
# sslkeylogfile, which is written; not gssdelegation.
POSTGRESQL = dict.fromkeys(
    [
        "application_name",
        "channel_binding",
        "client_encoding",
        "connect_timeout",
        "fallback_application_name",
        "gssencmode",
        "host",
        "keepalives",
        "keepalives_count",
        "keepalives_idle",
        "keepalives_interval",
        "krbsrvname",
        "load_balance_hosts",
        "max_protocol_version",
        "min_protocol_version",
        "port",
        "require_auth",
        "requirepeer",
        "ssl_max_protocol_version",
        "ssl_min_protocol_version",
        "sslcert",
        "sslcertmode",
        "sslcompression",
        "sslcrl",
        "sslcrldir",
        "sslkey",
        "sslmode",
        "sslnegotiation",
        "sslpassword",
        "sslrootcert",
        "sslsni",
        "target_session_attrs",
        "tcp_user_timeout",
    ],
    ANY,
)

# Where in a database the tables are; any other setting is SQL.
POSTGRESQL["options"] = re.compile(r"(-c *|--)search_path=[\w,]+")

# The others would create a file, or a database without one.
SQLITE = {"mode": re.compile("ro|rw"), "timeout": ANY, "uri": ANY}
