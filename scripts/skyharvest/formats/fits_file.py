"""The HDUs of a FITS file, read over byte ranges without reading the whole file.

A FITS file is a chain of header and data units (HDUs); each header says where the next one starts.
"""

from collections.abc import Callable, Sequence

from skyharvest.core.errors import MalformedFile
from skyharvest.formats.byte_source import Prefetched, Range, Source
from skyharvest.formats.fits_hdu import HDU, Array, parse_hdu
from skyharvest.formats.fits_header import BLOCK, find_end

FIRST_READ = 16 * BLOCK  # most files' first headers
NEXT_READ = 8 * BLOCK  # a table's header; a longer one takes more reads
MAX_GUESSES = 4  # wrong guesses of a file's layout
MAX_HEADER = 400 * BLOCK  # 14,400 cards: no real header comes near
MAX_HDUS = 1000
MAX_TABLE = 1 << 30  # bytes: tables are read whole; those of the largest coadds have some 20 MB

Guess = Callable[[Sequence["HDU"], int], list[Range]]
"""From the HDUs known so far and the position of the next: byte ranges to read together with its header."""


class FitsFile:
    """The HDUs of one FITS file, read header by header, as far as needed.

    A header is always parsed at the position that the header before it gives, so a wrong guess costs bytes and a round
    trip, but never correctness.

    Parameters
    ----------
    source
        File to read. Not closed.
    guess
        Returns ranges to read ahead, where the layout is predictable.
    first_read
        Bytes of the first read.

    Raises
    ------
    MalformedFile
        If the bytes are not FITS, or the headers claim more than the file holds.
    """

    def __init__(self, source: Source, guess: Guess | None = None, *, first_read: int = FIRST_READ) -> None:
        self.source = Prefetched(source)
        self.name = source.name
        self._guess = guess
        self._guesses = 0
        self._hdus: list[HDU] = []
        self._cut: list[HDU] = []  # the one whose data are not all there
        self._position: int | None = 0  # of the next header; None at the file's end
        self.source.head(first_read)
        if not self._next():
            raise MalformedFile(f"{self.name}: the file is empty, expected FITS")

    @property
    def hdus(self) -> list[HDU]:
        """Every HDU of the file."""
        while self._next():
            pass
        return self._hdus

    @property
    def known(self) -> list[HDU]:
        """Every HDU whose header was read so far, also once `hdus` has raised: the last may be cut short."""
        return [*self._hdus, *self._cut]

    def __contains__(self, name: str) -> bool:
        return self._find(name) is not None

    def __getitem__(self, name: str) -> HDU:
        hdu = self._find(name)
        if hdu is None:
            raise MalformedFile(f"{self.name}: HDU {name} is missing; found {', '.join(h.name for h in self._hdus)}")
        return hdu

    def table_with(self, columns: Sequence[str]) -> HDU:
        """Return the first table that has the first of these columns, in any case; else the first table.

        Raises
        ------
        MalformedFile
            If there is no table.
        """
        tables = [hdu for hdu in self.hdus if hdu.is_table]
        if not tables:
            raise MalformedFile(f"{self.name}: no binary table, expected columns {', '.join(columns)}")
        return next((hdu for hdu in tables if columns[0].lower() in map(str.lower, hdu.columns)), tables[0])

    def _find(self, name: str) -> HDU | None:
        k = 0
        while k < len(self._hdus) or self._next():
            if self._hdus[k].name == name:
                return self._hdus[k]
            k += 1
        return None

    def _next(self) -> bool:
        """Parse one more header; return False at the file's end."""
        size = self.source.size()
        if self._position is None or self._position >= size:
            return False
        if len(self._hdus) >= MAX_HDUS:
            raise MalformedFile(f"{self.name}: more than {MAX_HDUS} HDUs")
        text = self._header_at(self._position, size)
        if text is None:
            self._position = None
            return False
        hdu = parse_hdu(self.name, text, self._position, first=not self._hdus)
        end = hdu.all_rows()[1]
        if end > size:
            self._cut = [hdu]
            raise MalformedFile(
                f"{hdu}: its header claims {hdu.n_rows:,} rows of {hdu.row_bytes:,} bytes up to byte {end:,}, "
                f"the file has {size:,}: it is truncated"
            )
        if hdu.is_table and end - hdu.data_start > MAX_TABLE:
            raise MalformedFile(
                f"{hdu}: its header claims {hdu.n_rows:,} rows of {hdu.row_bytes:,} bytes: no such table"
            )
        self._hdus.append(hdu)
        self._position = hdu.stop
        return True

    def _header_at(self, position: int, size: int) -> bytes | None:
        """Return the header at ``position`` up to its END card, inclusive; None for padding after the last HDU."""
        first_card = b"SIMPLE  =" if position == 0 else b"XTENSION="
        text = self.source.kept_from(position, MAX_HEADER)
        while True:
            if len(text) >= len(first_card) or position + len(text) == size:
                if not text.startswith(first_card):
                    if position > 0 and not text.strip(b"\x00 "):
                        return None  # FITS 3.5 allows special records after the last HDU; real files have padding
                    raise MalformedFile(f"{self.name}: {_describe(text)} at byte {position:,}, expected a FITS header")
                end = find_end(text)
                if end is not None:
                    return text[:end]
                if position + len(text) == size or len(text) >= MAX_HEADER:
                    raise MalformedFile(
                        f"{self.name}: the header at byte {position:,} has no END card: the file is truncated"
                    )
            text = self._read_on(position, len(text))

    def _read_on(self, position: int, known: int) -> bytes:
        """Return more than ``known`` bytes of the header at ``position``; read the guessed ranges with them."""
        ahead = []
        if self._guess is not None and known == 0 and self._guesses < MAX_GUESSES:
            self._guesses += 1
            ahead = self._guess(self._hdus, position)
        self.source.fetch([(position, position + max(NEXT_READ, 2 * known)), *ahead])
        return self.source.kept_from(position, MAX_HEADER)

    def read(self, wanted: Sequence[tuple[HDU, Sequence[int] | Array | None]]) -> list[bytes]:
        """Read rows of several HDUs at once.

        ``wanted`` are pairs of an HDU and its row indices; None means every row. Returns the rows of each pair,
        concatenated in the order given.
        """
        ranges: list[Range] = []
        counts = []
        for hdu, rows in wanted:
            hdu_ranges = [hdu.all_rows()] if rows is None else hdu.rows(rows)
            ranges.extend(hdu_ranges)
            counts.append(len(hdu_ranges))
        parts = iter(self.source.read(ranges))
        return [b"".join(next(parts) for _ in range(count)) for count in counts]


def _describe(text: bytes) -> str:
    head = text[:512].lstrip().lower()
    if head.startswith((b"<!doctype", b"<html", b"<?xml")) or b"<html" in head:
        return "found an HTML page (an error message saved as a file?)"
    if text.startswith(b"\x1f\x8b"):
        return "found gzip-compressed data"
    if not text.strip(b"\x00"):
        return "found nothing but zeros" if text else "found nothing"
    return f"found {text[:16]!r}"
