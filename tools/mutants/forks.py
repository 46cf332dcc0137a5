"""Fork the commands of a test from the process of the test itself."""

import atexit
import os
import socket
import sys
import threading
from functools import cache
from importlib import import_module
from pathlib import Path

from tests.harness import forked, forking


@cache
def server() -> socket.socket:
    """Fork a process that forks the commands; return the socket for its requests."""
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if os.fork() == 0:
        ours.close()
        serve(its)
    its.close()
    return ours


def serve(asked: socket.socket) -> None:
    """Fork a process for each request, and do its work there."""
    atexit._clear()  # noqa: SLF001 - those of the tests
    code: object = 0
    try:
        request = forking.serve(asked)
        sys.stdin = Path(os.devnull).open()  # noqa: SIM115 - until the process ends
        sys.stdout = os.fdopen(1, "w", closefd=False)
        sys.stderr = os.fdopen(2, "w", closefd=False)
        forking.become(**request)
    except SystemExit as end:
        code = end.code
        if isinstance(code, str):
            sys.stderr.write(f"{code}\n")
            code = 1
    except BaseException:  # noqa: BLE001 - as Python does at the end of a program
        sys.excepthook(*sys.exc_info())
        code = 1
    threading._shutdown()  # type: ignore[attr-defined]  # noqa: SLF001 - as Python does
    atexit._run_exitfuncs()  # noqa: SLF001 - as Python does
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(int(code or 0))  # type: ignore[call-overload]


def prepare() -> None:
    """Import the modules of commands, and fork them from here from now on."""
    for name in forking.IMPORTED:
        import_module(name)
    forked.server = server
