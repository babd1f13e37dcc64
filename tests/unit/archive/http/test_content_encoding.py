"""Files arrive as they are stored, whatever encoding a server says they have: it often says so of a .gz."""

import gzip
import socket
import zlib

import numpy as np
import pytest

from range_server import serve, tag
from skyharvest.archive.archive import Archive
from skyharvest.archive.http.patience import Patience

QUICK = Patience(tries=2, base_s=0.01, cap_s=0.01, connect_s=2, read_s=5)
PLAIN = np.random.default_rng(9).integers(0, 40, 600_000).astype(">i2").tobytes()
FILES = {
    "survey-bricks.fits.gz": gzip.compress(PLAIN, 1),
    "coadd.fits": PLAIN,
    "image.fits.fz": PLAIN[::-1],
    "table.zz": zlib.compress(PLAIN, 1),
}


@pytest.fixture(params=["x-gzip", "gzip", "deflate", "br", "gzip, x-gzip"])
def server(request, tmp_path_factory):
    root = tmp_path_factory.mktemp("stored")
    for name, data in FILES.items():
        (root / name).write_bytes(data)
    with serve(root) as served:
        served.tagged = True
        served.headers["Content-Encoding"] = request.param
        yield served


@pytest.mark.parametrize("way", ["multi", "single", "none"])
def test_ranges_and_lengths_are_of_the_bytes_stored(server, way):
    server.ranges = way
    for name, data in FILES.items():
        ranges = [(k * 9000, k * 9000 + 700) for k in range(20, 0, -1)] + [(len(data) - 5, len(data))]
        with Archive(server.url, patience=QUICK, connections=2) as archive, archive.open(name) as source:
            assert source.head(4000) == data[:4000]
            assert source.size() == len(data)
            assert source.read([(3, 90_000)]) == [data[3:90_000]]
            assert source.read(ranges) == [data[start:stop] for start, stop in ranges]


def test_whole_files_are_copied_as_stored_and_resumed(server, tmp_path):
    def break_off(handler, number: int) -> bool:
        if number > 1:
            return False
        data = handler.content()
        handler.send_response(200)
        handler.send_header("ETag", tags[handler.path])
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data[:200_000])
        handler.wfile.flush()
        handler.close_connection = True
        handler.connection.shutdown(socket.SHUT_RDWR)
        return True

    tags = {f"/{name}": tag(data) for name, data in FILES.items()}
    for name, data in FILES.items():
        with Archive(server.url, patience=QUICK) as archive:
            server.misbehave = None
            assert archive.fetch(name, tmp_path / "whole") == len(data)
            assert (tmp_path / "whole").read_bytes() == data
            server.misbehave = break_off
            server.forget()
            assert archive.fetch(name, tmp_path / name, note=tmp_path / "note") == len(data)
        assert (tmp_path / name).read_bytes() == data
        (_, first), (_, second) = server.requests
        assert first == "" and second.startswith("bytes="), "it went on where it had broken off"
