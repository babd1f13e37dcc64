"""Whole files over HTTP, resumed where a transfer broke off.

Source: RFC 9110 §13.1.5 (If-Range), §14 (range requests).
"""

from pathlib import Path

from skyharvest.archive.http.client import HttpClient
from skyharvest.archive.http.response import Response, TryAgain, strong_version, total_length
from skyharvest.formats.byte_source import CHUNK

FETCH_READ = 1 << 16  # bytes lost, at most, when a transfer breaks off


def fetch(client: HttpClient, url: str, part: Path, *, note: Path | None = None) -> int:
    """Copy a whole file to ``part`` and return its length in bytes. A transfer that breaks off is resumed.

    Parameters
    ----------
    client
        The connections to use. What it raises: `HttpClient.get`.
    url
        Address of the file.
    part
        File to write. If it is there, the copy goes on at its end, as long as the server still has the version
        named in ``note`` (RFC 9110 §13.1.5, If-Range); otherwise it is overwritten.
    note
        File for the version of ``part``, so that a later job can go on. Removed at the end.
    """
    version = note.read_text(encoding="utf-8") if note is not None and note.exists() else ""
    headers: dict[str, str] = {}

    def ask_for_the_rest() -> None:
        n_bytes = part.stat().st_size if version and part.exists() else 0
        headers.clear()
        if n_bytes:
            headers.update({"Range": f"bytes={n_bytes}-", "If-Range": version})

    def consume(response: Response) -> int:
        nonlocal version
        begin = 0
        if response.status == 416:
            total = total_length(response.headers)
            if total is not None and total == part.stat().st_size:
                return total
            version = ""
            ask_for_the_rest()
            raise TryAgain("what is here of it is longer than the server's file")
        if response.status == 206:
            span = response.content_range()
            begin = part.stat().st_size
            if span is None or span[0] != begin or strong_version(response.headers) != version:
                version = ""
                ask_for_the_rest()
                raise TryAgain(f"asked for bytes {begin}-, the server sent {response.headers.get('Content-Range')}")
        version = strong_version(response.headers)
        if note is not None:
            note.write_text(version, encoding="utf-8")
        length = begin
        announced = response.content_length()
        try:
            with part.open("ab" if begin else "wb") as out:
                while piece := response.read(FETCH_READ):
                    out.write(piece)
                    length += len(piece)
            if announced is not None and length - begin != announced:
                raise TryAgain(f"{length - begin:,} of {announced:,} announced bytes arrived")
        except TryAgain as failure:
            failure.progress = length - begin >= CHUNK
            ask_for_the_rest()
            raise
        return length

    ask_for_the_rest()
    length = client.get(url, headers, consume)
    if note is not None:
        note.unlink(missing_ok=True)
    return length
