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
        *("connect_timeout", "read_timeout", "write_timeout"),
        *("bind_address", "program_name", "unix_socket"),
        *("binary_prefix", "use_unicode"),
        *("ssl_ca", "ssl_capath", "ssl_cert", "ssl_cipher", "ssl_key"),
        *("ssl_check_hostname", "ssl_disabled", "ssl_key_password"),
        *("ssl_verify_cert", "ssl_verify_identity"),
    ],
    ANY,
)

MYSQL |= {"charset": NAME, "collation": NAME, "sql_mode": re.compile(r"[\w,]*")}

# Not passfile, service and conninfo, whose passwords go to any host; not
# sslkeylogfile, which is written; not gssdelegation.
POSTGRESQL = dict.fromkeys(
    [
        *("application_name", "fallback_application_name"),
        *("channel_binding", "client_encoding", "require_auth"),
        *("host", "port", "requirepeer", "target_session_attrs"),
        *("gssencmode", "krbsrvname", "load_balance_hosts"),
        *("connect_timeout", "tcp_user_timeout", "keepalives"),
        *("keepalives_count", "keepalives_idle"),
        *("keepalives_interval", "max_protocol_version"),
        *("min_protocol_version", "ssl_max_protocol_version"),
        *("ssl_min_protocol_version", "sslcert", "sslcertmode"),
        *("sslcompression", "sslcrl", "sslcrldir", "sslkey"),
        *("sslmode", "sslnegotiation", "sslpassword"),
        *("sslrootcert", "sslsni"),
    ],
    ANY,
)

# Where in a database the tables are; any other setting is SQL.
POSTGRESQL["options"] = re.compile(r"(-c *|--)search_path=[\w,]+")

# The others would create a file, or a database without one.
SQLITE = {"mode": re.compile("ro|rw"), "timeout": ANY, "uri": ANY}
