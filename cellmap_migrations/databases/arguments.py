"""List the URL arguments that a row of ``cell_mappings`` may have, with their values.

An argument is not listed if it can run SQL or code, send a local file to the server, or
write a file. A URL in nova.conf may have every argument of the driver.
"""

from __future__ import annotations

import re

ANY = re.compile(".*", re.DOTALL)

# PyMySQL 1.2 copies it into SET NAMES unquoted, which accepts further assignments.
NAME = re.compile(r"\w+")

# Without read_default_file, whose password would go to any host, and without
# init_command, local_infile and client_flag.
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

# Without passfile, service and conninfo, whose passwords would go to any host, without
# sslkeylogfile, a file that libpq writes, and without gssdelegation.
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

# It may set the schema of the tables only. Any other setting could contain SQL.
POSTGRESQL["options"] = re.compile(r"(-c *|--)search_path=[\w,]+")

# The other modes would create a file or a database in memory.
SQLITE = {"mode": re.compile("ro|rw"), "timeout": ANY, "uri": ANY}
