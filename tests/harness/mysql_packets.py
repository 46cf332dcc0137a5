"""Read and write the packets of MySQL's protocol that the tests' proxy needs."""

import struct
from collections.abc import Callable

from pymysql.constants import CLIENT, ER, SERVER_STATUS

HEADER = 4

# The length of a packet that goes on in the next one.
LARGEST = 0xFFFFFF

OK, LOCAL_INFILE, EOF, ERR = 0x00, 0xFB, 0xFE, 0xFF

LONGEST_EOF = 8

PLUGIN = b"mysql_native_password"

SALT = b"saltsaltsaltsaltsalt"

UTF8MB4 = 45

OFFERED = (
    CLIENT.LONG_PASSWORD
    | CLIENT.FOUND_ROWS
    | CLIENT.LONG_FLAG
    | CLIENT.CONNECT_WITH_DB
    | CLIENT.PROTOCOL_41
    | CLIENT.TRANSACTIONS
    | CLIENT.SECURE_CONNECTION
    | CLIENT.MULTI_RESULTS
    | CLIENT.PLUGIN_AUTH
)


class Refused(Exception):
    """Report a packet that is not forwarded; *code* is the server's for it."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


def packet(payload: bytes, number: int) -> bytes:
    """Return a packet of this payload and sequence number."""
    return len(payload).to_bytes(3, "little") + bytes([number]) + payload


def greeting(version: str, thread: int, plugin: bytes = PLUGIN) -> bytes:
    """Return the greeting of a server."""
    low, high = OFFERED & 0xFFFF, OFFERED >> 16
    return b"".join(
        (
            b"\x0a",
            version.encode() + b"\0",
            struct.pack("<I", thread) + SALT[:8] + b"\0",
            struct.pack("<HBH", low, UTF8MB4, SERVER_STATUS.SERVER_STATUS_AUTOCOMMIT),
            struct.pack("<HB", high, 21) + bytes(10),
            SALT[8:] + b"\0" + plugin + b"\0",
        )
    )


def database_of(response: bytes) -> bytes:
    """Return the database that a client names at its login, or None."""
    flags = int.from_bytes(response[HEADER : HEADER + 4], "little")
    _user, _, rest = response[HEADER + 32 :].partition(b"\0")
    named = rest[1 + rest[0] :].partition(b"\0")[0]
    return named if flags & CLIENT.CONNECT_WITH_DB else b""


def ok(status: int) -> bytes:
    """Return the payload that ends a login."""
    return struct.pack("<BBBHH", OK, 0, 0, status, 0)


def error(code: int, message: str) -> bytes:
    """Return the payload of an error."""
    return struct.pack("<BH", ERR, code) + b"#HY000" + message.encode()


def is_eof(answer: bytes) -> bool:
    """Return True if a packet ends the columns or the rows of a result."""
    return answer[HEADER] == EOF and len(answer) - HEADER <= LONGEST_EOF


def eof_status(answer: bytes) -> int:
    """Return the status in such a packet."""
    return int.from_bytes(answer[HEADER + 3 : HEADER + 5], "little")


def ok_status(answer: bytes) -> int:
    """Return the status in an OK packet, which stands behind two numbers."""
    place = HEADER + 1
    for _ in range(2):
        place += {0xFC: 3, 0xFD: 4, 0xFE: 9}.get(answer[place], 1)
    return int.from_bytes(answer[place : place + 2], "little")


def copy_results(copy: Callable[[], bytes]) -> int | None:
    """Call *copy* for each packet of an answer; return the last status.

    Returns None if the answer ends with an error.
    """
    while True:
        first = copy()
        if first[HEADER] == ERR:
            return None
        if first[HEADER] == LOCAL_INFILE:
            raise Refused(ER.UNKNOWN_COM_ERROR, "the tests' proxy sends no local file")
        if first[HEADER] == OK:
            status = ok_status(first)
        else:
            while not is_eof(copy()):
                pass
            last = copy()
            while not is_eof(last):
                if last[HEADER] == ERR:
                    return None
                last = copy()
            status = eof_status(last)
        if not status & SERVER_STATUS.SERVER_MORE_RESULTS_EXISTS:
            return status
