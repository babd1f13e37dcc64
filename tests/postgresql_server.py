"""A PostgreSQL server for tests: on loopback, with a password, as an ordinary user; it is stopped by its process."""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

PROGRAMS = next(iter(sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), reverse=True)), None)
BIN = PROGRAMS.parent if PROGRAMS else Path(shutil.which("postgres") or "/nowhere/postgres").parent
MISSING = None if (BIN / "initdb").exists() else "PostgreSQL is not installed here (Debian: apt install postgresql)"
ORDINARY = "nobody"
"""Who runs it where tests are run by root, as whom it does not run."""
SUPERUSER = "admin"


@dataclass(frozen=True)
class Server:
    """A running server.

    Attributes
    ----------
    passfile
        As ``~/.pgpass``: has the superuser's password.
    """

    port: int
    passfile: Path

    def where(self, dbname: str, user: str = SUPERUSER) -> dict[str, str | int]:
        return {"host": "127.0.0.1", "port": self.port, "dbname": dbname, "user": user}

    def do(self, statement: str, dbname: str = "postgres") -> None:
        """Do something as the superuser, outside of a transaction."""
        import psycopg

        with psycopg.connect(**self.where(dbname), passfile=str(self.passfile), autocommit=True) as connection:
            connection.execute(statement)


@contextmanager
def running() -> Iterator[Server]:
    """Give a server that is there for the block."""
    as_root = os.getuid() == 0
    who = {"user": ORDINARY, "group": "nogroup", "extra_groups": []} if as_root else {}
    directory = Path(tempfile.mkdtemp(prefix="skyharvest-postgresql-"))
    password = secrets.token_hex(8)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    passfile = directory / "pgpass"
    passfile.write_text(f"127.0.0.1:{port}:*:{SUPERUSER}:{password}\n")
    passfile.chmod(0o600)
    (directory / "password").write_text(password)
    data = directory / "data"
    data.mkdir()
    if as_root:
        for path in (directory, directory / "password", data):
            shutil.chown(path, ORDINARY, "nogroup")
    try:
        made = ["-D", data, "-U", SUPERUSER, "-A", "scram-sha-256", "--pwfile", directory / "password", "--no-sync"]
        subprocess.run(
            [BIN / "initdb", *made, "--no-locale", "-E", "UTF8"], cwd="/", check=True, capture_output=True, **who
        )
        settings = ("listen_addresses=127.0.0.1", f"port={port}", f"unix_socket_directories={directory}", "fsync=off")
        options = [part for setting in settings for part in ("-c", setting)]
        with (directory / "log").open("w") as log:
            process = subprocess.Popen([BIN / "postgres", "-D", data, *options], cwd="/", stdout=log, stderr=log, **who)
        try:
            _wait(process, port, directory / "log")
            yield Server(port, passfile)
        finally:
            process.send_signal(signal.SIGINT)  # PostgreSQL's "fast shutdown"
            process.wait(30)
    finally:
        shutil.rmtree(directory)


def _wait(process: subprocess.Popen, port: int, log: Path) -> None:
    for _ in range(300):
        assert process.poll() is None, log.read_text()
        ready = subprocess.run([BIN / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)], check=False)
        if ready.returncode == 0:
            return
        time.sleep(0.1)
    raise AssertionError(log.read_text())
