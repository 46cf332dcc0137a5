"""Connect with PyMySQL, and read the system's certificates only once in a process.

A module of its own, because PyMySQL is imported only for a server that needs it.
"""

from __future__ import annotations

from typing import Any, ClassVar

from pymysql.connections import Connection


class SharedTls(Connection):
    """Share the TLS context of all connections whose URL names no certificate.

    PyMySQL offers TLS to every server since 1.2. For each connection it reads all
    certificates of the system, which takes 30 ms, and then verifies nothing with them.
    """

    shared: ClassVar[list[Any]] = []

    def _create_ssl_ctx(self, sslp: Any) -> Any:
        """Return the TLS context for the arguments *sslp* of the URL, which may be {}.

        A release of PyMySQL without this method makes its own context.
        """
        parent: Any = super()
        if sslp:
            return parent._create_ssl_ctx(sslp)  # noqa: SLF001
        if not self.shared:
            self.shared.append(parent._create_ssl_ctx(sslp))  # noqa: SLF001
        return self.shared[0]
