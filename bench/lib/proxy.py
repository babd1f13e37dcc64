"""A network in between: a TCP proxy on loopback that delays, caps the rate, and counts.

Each direction is one link that all connections share: a chunk waits until the link is free, takes its length ÷ rate to
be sent, and arrives half a round trip later. A new connection costs a round trip before its first byte leaves, as TCP's
handshake does. TCP's slow start and losses are not imitated, for nobody.
"""

import asyncio
import contextlib
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

CHUNK = 64 * 1024
SLACK_S = 0.01  # how long a link may have to wait for this process: decides how much is kept in flight
UNCAPPED_WINDOW = 8 << 20


@dataclass(frozen=True)
class Counts:
    """What went through since the last reset: bytes to and from the server, connections, most open at once."""

    up: int
    down: int
    connections: int
    most_open: int

    @property
    def moved(self) -> int:
        """Bytes in both directions, HTTP's headers included."""
        return self.up + self.down


class _Link:
    """One direction."""

    def __init__(self, one_way_s: float, bytes_per_s: float) -> None:
        self.one_way_s = one_way_s
        self.bytes_per_s = bytes_per_s
        self.free_at = 0.0
        self.bytes = 0
        self.window = UNCAPPED_WINDOW
        if bytes_per_s:
            self.window = int(bytes_per_s * (one_way_s + SLACK_S)) + CHUNK

    def send(self, n: int) -> float:
        """Take ``n`` bytes now and return when they arrive (monotonic seconds)."""
        self.bytes += n
        now = time.monotonic()
        if self.bytes_per_s:
            self.free_at = max(now, self.free_at) + n / self.bytes_per_s
            now = self.free_at
        return now + self.one_way_s


class _Relay:
    def __init__(self, server_port: int, one_way_s: float, bytes_per_s: float) -> None:
        self.server_port = server_port
        self.up, self.down = (_Link(one_way_s, bytes_per_s) for _ in range(2))
        self.open_now = 0
        self.reset()

    def reset(self) -> None:
        self.up.bytes = self.down.bytes = self.connections = 0
        self.most_open = self.open_now

    def counts(self) -> dict[str, int]:
        return asdict(Counts(self.up.bytes, self.down.bytes, self.connections, self.most_open))

    async def serve(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        running = set()
        while True:
            client, _ = await loop.sock_accept(listener)
            task = asyncio.create_task(self._connection(client))
            running.add(task)
            task.add_done_callback(running.discard)

    async def _connection(self, client: socket.socket) -> None:
        self.connections += 1
        self.open_now += 1
        self.most_open = max(self.most_open, self.open_now)
        server = socket.socket()
        loop = asyncio.get_running_loop()
        try:
            for end in (client, server):
                end.setblocking(False)
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await loop.sock_connect(server, ("127.0.0.1", self.server_port))
            await asyncio.sleep(2 * self.up.one_way_s)  # the handshake
            both = [
                asyncio.create_task(_pump(client, server, self.up)),
                asyncio.create_task(_pump(server, client, self.down)),
            ]
            # An error on one side ends both; an orderly end of one direction leaves the other running.
            await asyncio.wait(both, return_when=asyncio.FIRST_EXCEPTION)
            for task in both:
                task.cancel()
            await asyncio.gather(*both, return_exceptions=True)
        except OSError:
            pass  # the server is gone: the client sees its connection close
        finally:
            self.open_now -= 1
            client.close()
            server.close()


async def _pump(source: socket.socket, sink: socket.socket, link: _Link) -> None:
    """Carry one direction of one connection to its end."""
    loop = asyncio.get_running_loop()
    in_flight: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
    waiting = 0
    open_end = True
    room = asyncio.Event()

    async def deliver() -> None:
        nonlocal waiting, open_end
        try:
            while True:
                due, data = await in_flight.get()
                if (early := due - time.monotonic()) > 0:
                    await asyncio.sleep(early)
                if not data:
                    sink.shutdown(socket.SHUT_WR)
                    return
                await loop.sock_sendall(sink, data)
                waiting -= len(data)
                room.set()
        finally:
            open_end = False
            room.set()

    delivering = asyncio.create_task(deliver())
    try:
        while open_end:
            data = await loop.sock_recv(source, CHUNK)
            waiting += len(data)
            in_flight.put_nowait((link.send(len(data)), data))
            if not data:
                break
            while open_end and waiting >= link.window:
                room.clear()
                await room.wait()
        await delivering
    finally:
        delivering.cancel()
        with contextlib.suppress(OSError, asyncio.CancelledError):
            await delivering


class Proxy:
    """A running proxy, in a process of its own.

    Attributes
    ----------
    port
        Where clients connect, on 127.0.0.1.
    """

    def __init__(self, child: "subprocess.Popen[str]") -> None:
        self._child = child
        self.port = int(self._ask())

    def _ask(self, command: str = "") -> Any:
        assert self._child.stdin is not None and self._child.stdout is not None
        if command:
            self._child.stdin.write(command + "\n")
            self._child.stdin.flush()
        answer = self._child.stdout.readline()
        if not answer:
            raise RuntimeError(f"the proxy ended with status {self._child.wait()}")
        return json.loads(answer)

    def counts(self) -> Counts:
        """Return what went through since the last reset."""
        return Counts(**self._ask("counts"))

    def reset(self) -> None:
        """Count from zero."""
        self._ask("reset")


@contextmanager
def proxy(server_port: int, *, round_trip_s: float = 0.0, bytes_per_s: float = 0.0) -> Iterator[Proxy]:
    """Run a proxy before ``127.0.0.1:server_port`` until the block, or this process, ends.

    Parameters
    ----------
    round_trip_s
        Added to every round trip, that of connecting included.
    bytes_per_s
        Cap per direction over all connections together; 0 is none.
    """
    command = [sys.executable, __file__, str(server_port), str(round_trip_s), str(bytes_per_s)]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield Proxy(child)
    finally:
        child.kill()
        child.communicate()


async def _main(server_port: int, round_trip_s: float, bytes_per_s: float) -> None:
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    listener.setblocking(False)
    relay = _Relay(server_port, round_trip_s / 2, bytes_per_s)
    serving = asyncio.create_task(relay.serve(listener))
    commands = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    print(listener.getsockname()[1], flush=True)
    while line := await commands.readline():  # its end is the parent's end
        if line == b"reset\n":
            relay.reset()
        print(json.dumps(relay.counts()), flush=True)
    serving.cancel()


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])))
