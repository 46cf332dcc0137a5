"""Import the package, and fork a process for each command that is requested.

Its imports are most of what a short command costs. It is started as
``python -m tests.harness.forking FD`` and reads requests from a socket. With each come
three more files: stdout and stderr of the command, and a socket on which its process id
is told, and then how it ended. What is
forked is a process like any other, in a session of its own.
"""

import gc
import json
import os
import runpy
import signal
import socket
import sys
from importlib import import_module
from typing import Any

from tests.harness import certificates, second_look

LARGEST = 100_000

IMPORTED = (
    "alembic.config",
    "cellmap_migrations.cli.main",
    "sqlalchemy.dialects.mysql.pymysql",
    "sqlalchemy.dialects.postgresql.psycopg",
    "sqlalchemy.dialects.sqlite.pysqlite",
    "psycopg",
    "pymysql",
)


def serve(asked: socket.socket) -> dict[str, Any]:
    """Fork a process for each request; return the request in the new process only."""
    # No process waits for the overseers.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        request, files, *_ = socket.recv_fds(asked, LARGEST, 3)
        if not request:
            os._exit(0)
        if os.fork() == 0:
            asked.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            oversee(files)
            found: dict[str, Any] = json.loads(request)
            return found
        for file in files:
            os.close(file)


def oversee(files: list[int]) -> None:
    """Fork once more; return in the new process only, and send its exit code."""
    told = socket.socket(fileno=files.pop())
    pid = os.fork()
    if pid == 0:
        told.close()
        for file, standard in zip(files, (1, 2), strict=True):
            os.dup2(file, standard)
            os.close(file)
        os.setsid()
        return
    told.send(str(pid).encode())
    # The process keeps its number until the client closes the socket.
    end = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert end
    code = end.si_status if end.si_code == os.CLD_EXITED else -end.si_status
    told.send(str(code).encode())
    told.recv(1)
    os._exit(0)


def become(
    command: list[str], env: dict[str, str], cwd: str | None, look_again: float
) -> None:
    """Do the work of ``python -m COMMAND...`` in a folder and an environment.

    It reads differences a second time after *look_again* seconds.
    """
    second_look.follow_after(look_again)
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd or ".")
    sys.path[0] = str(cwd or os.getcwd())  # noqa: PTH109 - as Python's -m does
    module, *sys.argv[1:] = command
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    for name in IMPORTED:
        import_module(name)
    certificates.load_once()
    # No process has to visit what all of them share.
    gc.freeze()
    become(**serve(socket.socket(fileno=int(sys.argv[1]))))
