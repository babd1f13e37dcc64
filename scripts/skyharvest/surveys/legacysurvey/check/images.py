"""What is asked of one brick's files before a run: whether they are there, how they are compressed, what they hold."""

import hashlib
import re
from collections.abc import Iterator, Mapping

import numpy as np

from skyharvest.archive.archive import is_url
from skyharvest.archive.download import read_checksums
from skyharvest.core.arrays import Array
from skyharvest.core.errors import MalformedFile
from skyharvest.core.words import counted
from skyharvest.formats.tiled_image import Box, TiledImage
from skyharvest.harvest.check import ADAPTED, AS_ASSUMED, FAILS, NOTE, REPORT, Asking, Finding
from skyharvest.surveys.legacysurvey.brick_images import BrickFiles, BrickImages
from skyharvest.surveys.legacysurvey.check.bricks import Tables, candidates
from skyharvest.surveys.legacysurvey.images import PIXEL_ARCSEC, PRODUCTS
from skyharvest.surveys.legacysurvey.plan import TILE
from skyharvest.surveys.legacysurvey.wanted_cutouts import Layer, WantedCutouts

TRIED, TRIED_HERE = 3, 2000  # bricks, until one is there: behind a server, and in a directory, which may hold some only
DEARER = 1.3  # times as many bytes as are assumed: worth a word
BOX = 40  # pixels: side of what is read of each image
SIZES = {"image": (1e-6, 1e6), "model": (1e-8, 1e6), "invvar": (1e-4, 1e12)}  # of a typical value, not 0
UNITS = {"image": "nanomaggy", "model": "nanomaggy", "invvar": "1/nanomaggy^2"}
LARGEST_SUMMED = 2_000_000  # bytes of a file that is read whole, to compare its checksum
SHA256 = re.compile("[0-9a-f]{64}")


def one_brick(asking: Asking) -> Iterator[Finding]:
    """Ask about a brick that positions of the CSV are in, if there is any."""
    tables: Tables = asking.shared["tables"]
    section, archive = asking.section, asking.archive
    wanted = WantedCutouts(size=section["size"], bands=tuple(section["bands"]), products=tuple(section["products"]))
    absent = []
    question, assumed = "files of a brick", "where the release's paths say"
    for brick in candidates(tables, TRIED if is_url(archive.root) else TRIED_HERE):
        files = BrickFiles(asking.release, brick, wanted)
        first = next(iter(files.paths.values()), None)
        if first is None or not archive.has(first):
            absent.append(first or files.name)
            continue
        with BrickImages(files, archive, wanted) as images:
            images.open()
            yield from _files(asking, images, len(absent))
            if images.images:
                yield from _images(asking, images, brick)
                yield from _checksums(asking, images)
        return
    seen = f"no file, for {counted(len(absent), 'brick')}"
    means, change = "bricks like these would be recorded as absent", "legacysurvey.archive, or legacysurvey.release"
    verdict = FAILS
    if not tables.is_whole:
        verdict, means = NOTE, "their part of the sky may have no images"
    yield asking.found(
        verdict,
        question,
        archive.location(absent[0]) if absent else archive.root,
        assumed=assumed,
        seen=seen,
        means=means,
        change=change,
    )


def _files(asking: Asking, images: BrickImages, n_absent: int) -> Iterator[Finding]:
    """Yield which files of the brick are there, and can be opened."""
    question, assumed = "files of a brick", f"{len(images.states)} files"
    about = asking.archive.location(next(iter(images.brick.paths.values()))).rpartition("/")[0]
    named = {layer: "-".join(filter(None, layer)) for layer in images.states}
    for layer, (status, reason) in images.states.items():
        if status == "unreadable":
            means = f"files like this would be recorded as unreadable: no {named[layer]} in cutouts"
            yield asking.found(
                FAILS, question, about, assumed=assumed, seen=f"{named[layer]}: {reason}", means=means, change=REPORT
            )
    absent = [named[layer] for layer, (status, _) in images.states.items() if status == "absent"]
    if absent:
        means = "files that the archive does not have are recorded as absent: nothing of them in cutouts"
        seen = f"not there: {', '.join(absent)}"
        of_products = {product for product, _ in images.states} - {product for product, _ in images.images}
        change = f"legacysurvey.products: without {', '.join(sorted(of_products))}" if of_products else ""
        verdict = FAILS if of_products else NOTE
        yield asking.found(verdict, question, about, assumed=assumed, seen=seen, means=means, change=change)
    elif len(images.images) == len(images.states):
        verdict, seen, means = AS_ASSUMED, f"{len(images.images)} files", ""
        if n_absent:
            verdict, seen = NOTE, f"{seen}, after {counted(n_absent, 'brick')} without any"
            means = "bricks that the archive does not have are recorded as absent; the others are read"
        yield asking.found(verdict, question, about, assumed=assumed, seen=seen, means=means)


def _images(asking: Asking, images: BrickImages, brick: np.void) -> Iterator[Finding]:
    yield from _tiles(asking, images.images)
    yield _reach(asking, images, brick)
    x, y = (int(at[0]) for at in images.sky.pixels(*np.transpose([images.brick.centre])))  # type: ignore[union-attr]
    height, width = images.shape
    y0, x0 = max(0, min(y, height - BOX)), max(0, min(x, width - BOX))
    box = y0, min(height, y0 + BOX), x0, min(width, x0 + BOX)
    yield from _values(asking, images.images, box)
    yield _units(asking, images.images)
    yield _bands(asking, images.images, brick)


def _tiles(asking: Asking, images: Mapping[Layer, TiledImage]) -> Iterator[Finding]:
    """Yield the shape of tiles, how they are compressed, and dithered."""
    shapes = {image.tile for image in images.values()}
    seen = ", ".join(f"{height} x {width}" for height, width in sorted(shapes))
    about = f"{next(iter(images.values()))}, ZTILE1, ZTILE2"
    size = asking.section["size"] - 1
    cost = max((size + height) * (size + width) for height, width in shapes) / (size + TILE) ** 2
    told = {"assumed": f"{TILE} x {TILE} pixels", "seen": seen}
    if cost <= DEARER or asking.section["transfer"] == "files":
        yield asking.found(AS_ASSUMED, "tiles of the images", about, **told)
    else:
        told["means"] = f"a cutout reads {cost:.2g} times as many bytes as is assumed"
        told["change"] = "legacysurvey.transfer: files, if most of each brick is wanted"
        yield asking.found(ADAPTED, "tiles of the images", about, **told)
    yield _dither(asking, images)


def _dither(asking: Asking, images: Mapping[Layer, TiledImage]) -> Finding:
    """Return how the images are compressed. Where 0 means no data, it must come out of it as 0."""
    how: dict[str, dict[str, None]] = {}
    blurred = None
    for (product, _), image in images.items():
        dither = str(image.header.get("ZQUANTIZ", "")).strip()
        how.setdefault(product, {})[f"{image.header['ZCMPTYPE']} {dither}".strip()] = None
        if product == "invvar" and dither == "SUBTRACTIVE_DITHER_1":
            blurred = image
    seen = "; ".join(f"{product} {', '.join(ways)}" for product, ways in how.items())
    told = {"assumed": "any, but 0 of invvar stays 0: NO_DITHER or SUBTRACTIVE_DITHER_2", "seen": seen}
    question, cards = "compression and dither", "ZCMPTYPE, ZQUANTIZ, ZDITHER0"
    if blurred is None:
        return asking.found(AS_ASSUMED, question, f"{next(iter(images.values()))}, {cards}", **told)
    told |= {"means": "pixels without data are not told from the others, and count as data", "change": REPORT}
    return asking.found(FAILS, question, f"{blurred}, {cards}", **told)


def _reach(asking: Asking, images: BrickImages, brick: np.void) -> Finding:
    """Return how far the images reach beyond the brick's own box: cutouts near its edges need that."""
    assert images.sky is not None
    height, width = images.shape
    across = np.array([(width - 1) / 2] * 2), np.array([0.0, height - 1])
    _, dec = images.sky.positions(*across)
    beyond = min(float(brick["dec1"]) - dec.min(), dec.max() - float(brick["dec2"])) * 3600
    question, about = "images and boxes of bricks", f"{next(iter(images.images.values()))}, CRVAL2, NAXIS2"
    seen = f"{height} x {width} pixels of {images.sky.pixel_arcsec:.3f} arcsec; {beyond:.0f} arcsec beyond the box"
    assumed = f"pixels of {PIXEL_ARCSEC} arcsec; larger than the box"
    if beyond > -PIXEL_ARCSEC:
        return asking.found(AS_ASSUMED, question, about, assumed=assumed, seen=seen)
    means = "positions in the box but off the image have no cutout, and their brick is recorded as unreadable"
    return asking.found(FAILS, question, about, assumed=assumed, seen=seen, means=means, change=REPORT)


def _values(asking: Asking, images: Mapping[Layer, TiledImage], box: Box) -> Iterator[Finding]:
    """Yield whether some pixels decode, to what kind of numbers, and of what size: that tells of byte order, too."""
    question, assumed = "values of the images", "numbers of a usual size"
    seen: dict[str, str] = {}
    for layer, image in images.items():
        product = PRODUCTS[layer[0]]
        wrong, means = "", "files like this would be recorded as unreadable"
        try:
            pixels: Array = image.read([box])[0]
        except MalformedFile as error:
            wrong = str(error)
        else:
            there = np.abs(pixels[np.isfinite(pixels) & (pixels != 0)])
            typical = float(np.median(there)) if there.size else np.nan
            low, high = SIZES.get(layer[0], (0, np.inf))
            is_usual = ((low < there) & (there < high)).mean() > 0.5 if there.size else True
            told = f"{pixels.dtype}, typically {typical:.2g}" if product.kinds == "f" else f"{pixels.dtype}"
            if pixels.dtype.kind not in product.kinds:
                wrong = f"{pixels.dtype}, not {'floating-point' if product.kinds == 'f' else 'whole'} numbers"
            elif not is_usual:
                wrong, means = told, "values of another unit, or another byte order: fluxes would be wrong"
            seen.setdefault(layer[0], told)
        if wrong:
            yield asking.found(FAILS, question, str(image), assumed=assumed, seen=wrong, means=means, change=REPORT)
            return
    told = "; ".join(f"{product} {words}" for product, words in seen.items())
    yield asking.found(AS_ASSUMED, question, f"{next(iter(images.values()))}", assumed=assumed, seen=told)


def _units(asking: Asking, images: Mapping[Layer, TiledImage]) -> Finding:
    """Return what BUNIT and MAGZERO say: nothing converts the values."""
    question, assumed = "units of the images", "nanomaggies, MAGZERO 22.5"
    seen: dict[str, str] = {}
    for (product, _), image in images.items():
        unit, zero = image.header.get("BUNIT"), image.header.get("MAGZERO", 22.5)
        wrong = product in UNITS and unit is not None and _plain(str(unit)) != _plain(UNITS[product])
        if wrong or zero != 22.5:
            means = "fluxes are taken for nanomaggies: magnitudes would be wrong"
            told = f"BUNIT {unit!r}, MAGZERO {zero!r}"
            return asking.found(FAILS, question, str(image), assumed=assumed, seen=told, means=means, change=REPORT)
        if product in UNITS:
            seen[product] = str(unit) if unit is not None else "not said"
    about = f"{next(iter(images.values()))}, BUNIT, MAGZERO"
    told = ", ".join(f"{product} {unit}" for product, unit in seen.items()) or "not said"
    return asking.found(AS_ASSUMED, question, about, assumed=assumed, seen=told)


def _plain(unit: str) -> str:
    """Return a unit without what different hands write differently."""
    text = re.sub(r"\s|\*\*|\^|\(|\)|maggies|maggy", "", unit.lower())
    return text.removesuffix("s")


def _bands(asking: Asking, images: Mapping[Layer, TiledImage], brick: np.void) -> Finding:
    """Return whether image and table name the same bands."""
    image = next(iter(images.values()))
    question, about = "bands of a brick", f"{image}, BANDS"
    said = image.header.get("BANDS")
    listed = brick["bands"].decode()
    if not isinstance(said, str):
        return asking.found(AS_ASSUMED, question, about, assumed=f"{', '.join(listed)} by the table", seen="not said")
    lacking = [band for band in asking.section["bands"] if (band in said) != (band in listed)]
    means = "images are looked for in the table's bands" if lacking else ""
    verdict = NOTE if lacking else AS_ASSUMED
    seen = ", ".join(letter for letter in said if letter.isalpha())
    return asking.found(verdict, question, about, assumed=f"{', '.join(listed)} by the table", seen=seen, means=means)


def _checksums(asking: Asking, images: BrickImages) -> Iterator[Finding]:
    """Yield whether the brick's checksums are there, name its files, and agree with the smallest of them."""
    _, path = images.brick.directory
    verifies = asking.section["transfer"] == "files"
    question, about, assumed = "checksums", asking.archive.location(path), "SHA-256 of each file"
    sums = read_checksums(asking.archive, path)
    names = [images.brick.paths[layer].rpartition("/")[2] for layer in images.images]
    without = [name for name in names if not SHA256.fullmatch(sums.get(name, ""))]
    if without:
        means = "nothing depends on them: legacysurvey.transfer is rows"
        if verifies:
            means = "files are only compared with the length that their headers imply"
        seen = f"none for {len(without)} of {len(names)} files, such as {without[0]}" if sums else "no such file"
        change = f"in config/releases.yaml, {asking.release.name}: paths: checksums" if verifies else ""
        yield asking.found(NOTE, question, about, assumed=assumed, seen=seen, means=means, change=change)
        return
    yield asking.found(AS_ASSUMED, question, about, assumed=assumed, seen=f"so for {len(names)} files")
    sizes = {}
    for layer in images.images:
        with asking.archive.open(images.brick.paths[layer]) as source:
            sizes[layer] = source.size()
    smallest = min(sizes, key=lambda layer: sizes[layer])
    if sizes[smallest] > LARGEST_SUMMED:
        return
    with asking.archive.open(images.brick.paths[smallest]) as source:
        digest = hashlib.sha256(source.read([(0, sizes[smallest])])[0]).hexdigest()
    name = images.brick.paths[smallest].rpartition("/")[2]
    about = asking.archive.location(images.brick.paths[smallest])
    if digest == sums[name]:
        yield asking.found(AS_ASSUMED, "checksum of a file", about, assumed="the archive's", seen="the same")
        return
    means = "the file is damaged, or its checksum is old"
    means += "; it would be recorded as unreadable" if verifies else ": read by tiles, it is not noticed"
    change = "tell the archive, or legacysurvey.archive: another mirror"
    verdict = FAILS if verifies else NOTE
    yield asking.found(
        verdict, "checksum of a file", about, assumed=sums[name], seen=digest, means=means, change=change
    )
