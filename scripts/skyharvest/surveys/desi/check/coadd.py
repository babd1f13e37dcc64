"""What is asked of one coadd: everything that the code which reads its rows takes for granted."""

from collections.abc import Iterator, Mapping

import numpy as np

from skyharvest.core.arrays import Array
from skyharvest.core.errors import MalformedFile
from skyharvest.formats.byte_source import Source
from skyharvest.formats.fits_checksum import checksum_problem
from skyharvest.formats.fits_file import FitsFile
from skyharvest.formats.fits_hdu import HDU
from skyharvest.formats.tile_table import is_compressed
from skyharvest.harvest.check import ADAPTED, AS_ASSUMED, FAILS, NOTE, REPORT, Asking, Finding
from skyharvest.sky.healpix import agreement, guess_scheme
from skyharvest.surveys.desi.coadd import IMAGES, N_DIAGONALS, N_PIXELS, Coadd, guess_layout
from skyharvest.surveys.desi.release import CoaddFile
from skyharvest.surveys.desi.shown import ARMS

ORDER = [f"{arm}_{kind}".upper() for arm, kind in IMAGES]
USED = {"OBJTYPE": "sky fibers are not told from others"}
UNITS = {"flux": ("10**-17 erg/(s cm2 Angstrom)", "1e-17 erg/(s cm2 Angstrom)"), "wavelength": ("Angstrom",)}
SLOWER = "headers are read one by one: up to 18 round trips a coadd instead of 2"
UNREADABLE = "every such coadd would be recorded as unreadable"
IN_PIXEL = 0.99  # of fibers; some stand a little outside, by proper motion


def ask_coadd(asking: Asking, file: CoaddFile) -> Iterator[Finding]:
    """Open a coadd as a job does; what that refuses, and what it only adapts to."""
    spectra = asking.section["spectra"]
    asking.shared["targetid"] = None
    with asking.archive.open(file.path) as source:
        try:
            coadd = Coadd(source, resolution=spectra["lsf"] or spectra["arms"])
            first_image = coadd.fits[f"{coadd.arms[0]}_WAVELENGTH".upper()]
            sums = [_checksum(asking, coadd, hdu) for hdu in (coadd.fibermap_hdu, first_image)]
            fibermap, scores, _ = coadd.small_tables()
        except MalformedFile as error:
            yield _refused(asking, source, error)
            return
        asking.shared["targetid"] = fibermap["TARGETID"]
        _measure(asking, coadd, source.size())
        yield from _layout(asking, coadd)
        yield from _arms(asking, coadd)
        yield from _spectra(asking, coadd)
        yield from _fibermap(asking, coadd, fibermap, scores.table)
        yield from _place(asking, file, coadd, fibermap)
        yield next((one for one in sums if one.verdict != AS_ASSUMED), sums[0])


def _measure(asking: Asking, coadd: Coadd, length: int) -> None:
    """Remember how many bytes the file and one of its rows have, kind by kind."""
    rows = {
        kind: sum(hdu.row_bytes for hdu in coadd.fits.hdus if hdu.name in {f"{arm}_{kind}".upper() for arm in ARMS})
        for kind in coadd.kinds
    }
    asking.shared.setdefault("file_bytes", []).append(length)
    asking.shared["row_bytes"] = max(asking.shared.get("row_bytes", {}), rows, key=lambda one: sum(one.values()))


def _refused(asking: Asking, source: Source, error: MalformedFile) -> Finding:
    """Say what of a coadd the run cannot read: the question it answers is told by its headers."""
    question, seen = "HDUs of coadds", f"{error}"
    try:
        hdus = FitsFile(source).hdus
    except MalformedFile:
        hdus = []
    compressed = next((hdu for hdu in hdus if hdu.header.get("ZIMAGE")), None)
    if compressed is not None:
        question = "compression of images"
        seen = f"{compressed.name}: ZIMAGE = T, ZCMPTYPE = {compressed.header.get('ZCMPTYPE')}"
    elif "column" in seen:
        question = "columns of FIBERMAP"
    elif "common grid" in seen:
        question = "wavelengths"
    about = f"{compressed}" if compressed is not None else source.name
    told = {"assumed": ASSUMED[question], "seen": seen, "means": UNREADABLE, "change": REPORT}
    return asking.found(FAILS, question, about, **told)


ASSUMED = {
    "HDUs of coadds": "FIBERMAP, and of each arm WAVELENGTH, FLUX, IVAR, MASK, RESOLUTION, of as many rows",
    "compression of images": "none: plain images, which are read by rows",
    "columns of FIBERMAP": "TARGETID a whole number; TARGET_RA, TARGET_DEC floating-point",
    "wavelengths": "0.8 Å steps from 3600 Å; b 2751, r 2326, z 2881 pixels",
}


def _layout(asking: Asking, coadd: Coadd) -> Iterator[Finding]:
    """Compare order and positions of the HDUs with those that are computed from the number of targets."""
    hdus = coadd.fits.hdus
    names = [hdu.name for hdu in hdus]
    after = [name for name in names[names.index("FIBERMAP") + 1 :] if name != "EXP_FIBERMAP"]
    assumed = "FIBERMAP, images of b, r, z, SCORES"
    seen = assumed if after == [*ORDER, "SCORES"] else ", ".join(names)
    question, about = "order of HDUs", coadd.name
    yield asking.compare(
        question, about, assumed=assumed, seen=seen, otherwise=ADAPTED, means=f"{SLOWER}; they are found by name"
    )
    first = names.index("EXP_FIBERMAP" if "EXP_FIBERMAP" in names else "FIBERMAP")
    guessed = [start for start, _ in guess_layout(hdus[: first + 1] if first else hdus[:1], hdus[first].stop)]
    if hdus[first].name == "FIBERMAP":
        guessed = [start for start, _ in guess_layout([*hdus[: first + 1], hdus[0]], hdus[first].stop)]
    wrong = next((hdu for hdu, start in zip(hdus[first + 1 :], guessed, strict=False) if hdu.start != start), None)
    assumed = "as computed from the number of targets"
    seen = assumed if wrong is None else f"{wrong.name} is at byte {wrong.start:,}"
    yield asking.compare(
        "positions of HDUs", f"{wrong or about}", assumed=assumed, seen=seen, otherwise=ADAPTED, means=SLOWER
    )
    seen = "there" if "EXP_FIBERMAP" in names else "none"
    yield asking.found(AS_ASSUMED, "EXP_FIBERMAP", about, assumed="not needed", seen=seen)
    for part, why in coadd.lacks.items():
        if part == "scores":
            means, assumed = "the best spectrum of a source is chosen without TSNR2_LRG", "there"
        else:
            means, assumed = "the spectra are written without it, and the coadd is recorded as incomplete", "there"
        yield asking.found(
            ADAPTED, part, about, assumed=assumed, seen=why.removeprefix(f"{about}: "), means=means, change=REPORT
        )


def _arms(asking: Asking, coadd: Coadd) -> Iterator[Finding]:
    grids = {arm: coadd.fits[f"{arm}_WAVELENGTH".upper()] for arm in coadd.arms}
    lengths = {arm: hdu.n_rows for arm, hdu in grids.items()}
    told = {"assumed": ASSUMED["wavelengths"], "seen": ASSUMED["wavelengths"]}
    if lengths != {arm: N_PIXELS[arm] for arm in lengths}:
        told["seen"] = f"on that grid, but {', '.join(f'{arm} {n}' for arm, n in lengths.items())} pixels"
    yield asking.compare("wavelengths", f"{next(iter(grids.values()))}", otherwise=ADAPTED, means=SLOWER, **told)
    diagonals = {n for n in coadd.n_diagonals.values() if n}
    if diagonals:
        seen = " and ".join(map(str, sorted(diagonals)))
        means = f"{SLOWER}; matrices of {seen} diagonals are kept as they are"
        about = f"{coadd.fits['B_RESOLUTION']}" if "B_RESOLUTION" in coadd.fits else coadd.name
        yield asking.compare(
            "resolution",
            about,
            assumed=f"{N_DIAGONALS} diagonals",
            seen=f"{seen} diagonals",
            otherwise=ADAPTED,
            means=means,
        )


def _spectra(asking: Asking, coadd: Coadd) -> Iterator[Finding]:
    types = {kind: sorted({f"{coadd.dtype(arm, kind)}" for arm in coadd.arms}) for kind in ("flux", "ivar", "mask")}
    seen = ", ".join(f"{kind} {' and '.join(names)}" for kind, names in types.items())
    usual = all(types[kind] == ["float32"] for kind in ("flux", "ivar")) and set(types["mask"]) <= {"int32", "uint32"}
    assumed = "flux, ivar float32, mask int32 or uint32"
    if usual:
        yield asking.found(AS_ASSUMED, "types of spectra", coadd.name, assumed=assumed, seen=assumed)
    else:
        means = "native arrays are kept as they are; combined ones are float32 and int32 all the same"
        yield asking.found(ADAPTED, "types of spectra", coadd.name, assumed=assumed, seen=seen, means=means)
    yield _compression(asking, coadd)
    for kind, units in UNITS.items():
        hdu = coadd.fits[f"{coadd.arms[0]}_{kind}".upper()]
        unit = str(hdu.header.get("BUNIT") or "")
        if unit in units:
            yield asking.found(
                AS_ASSUMED, f"unit of {kind}", f"{hdu}", assumed=f"BUNIT = {units[0]}", seen=f"BUNIT = {unit}"
            )
            continue
        means = f"values are not converted: the results would say {units[0]}, which may be wrong"
        verdict = FAILS if unit else NOTE
        yield asking.found(
            verdict,
            f"unit of {kind}",
            f"{hdu}",
            assumed=f"BUNIT = {units[0]}",
            seen=f"BUNIT = {unit or 'nothing'}",
            means=means,
            change=REPORT,
        )


def _compression(asking: Asking, coadd: Coadd) -> Finding:
    question, assumed = "compression of images", ASSUMED["compression of images"]
    compressed = [hdu for hdu in coadd.fits.hdus if is_compressed(hdu)]
    if not compressed:
        return asking.found(AS_ASSUMED, question, coadd.name, assumed=assumed, seen=assumed)
    kinds = ", ".join(f"{hdu.name}: ZCMPTYPE = {hdu.header['ZCMPTYPE']}" for hdu in compressed)
    means = "their rows are decoded by cfitsio, after two round trips more: slower, but the same values"
    return asking.found(ADAPTED, question, coadd.name, assumed=assumed, seen=kinds, means=means)


def _fibermap(
    asking: Asking, coadd: Coadd, fibermap: Mapping[str, Array], scores: Mapping[str, Array]
) -> Iterator[Finding]:
    hdu = coadd.fibermap_hdu
    yield asking.found(
        AS_ASSUMED,
        "columns of FIBERMAP",
        f"{hdu}",
        assumed=ASSUMED["columns of FIBERMAP"],
        seen=f"those, and {len(hdu.columns) - 3} more",
    )
    for name, means in USED.items():
        if name not in fibermap:
            yield asking.found(
                ADAPTED, f"column {name}", f"{hdu}", assumed="there", seen="missing", means=means, change=REPORT
            )
    if "scores" not in coadd.lacks and "TSNR2_LRG" not in scores:
        means = "the best spectrum of a source is chosen without it"
        yield asking.found(
            ADAPTED, "column TSNR2_LRG", f"{coadd.name}[SCORES]", assumed="there", seen="missing", means=means
        )
    unread = [column.name for column in hdu.columns.values() if column.dtype is None]
    if unread:
        means = "columns of bits or of variable length are left out"
        yield asking.found(
            ADAPTED, "types of FIBERMAP", f"{hdu}", assumed="values of one length", seen=", ".join(unread), means=means
        )
    units = {name: hdu.columns[name].unit for name in ("TARGET_RA", "TARGET_DEC")}
    odd = {name: unit for name, unit in units.items() if unit not in ("deg", "")}
    seen = "degrees" if not odd else ", ".join(f"TUNIT of {name} = {unit}" for name, unit in odd.items())
    yield asking.compare(
        "unit of positions",
        f"{hdu}",
        assumed="degrees",
        seen=seen,
        otherwise=FAILS,
        means="fibers would be matched at wrong places",
        change=REPORT,
    )
    ids = fibermap["TARGETID"]
    repeated = len(ids) - len(np.unique(ids))
    seen = "each once" if not repeated else f"{repeated:,} of {len(ids):,} again"
    means = "of fibers of one TARGETID redshifts and scores cannot be told apart: they are written as unknown"
    yield asking.compare("TARGETIDs", f"{hdu}", assumed="each once", seen=seen, otherwise=ADAPTED, means=means)


def _place(asking: Asking, file: CoaddFile, coadd: Coadd, fibermap: Mapping[str, Array]) -> Iterator[Finding]:
    """Compare the pixel in the path with the header, and with the positions of the fibers."""
    header = coadd.fits.hdus[0].header
    keys = {
        "SURVEY": file.survey,
        "PROGRAM": file.program,
        "HPXPIXEL": file.pix64,
        "HPXNSIDE": asking.release.nside,
        "HPXNEST": True,
    }
    wrong = {key: header[key] for key, value in keys.items() if header.get(key, value) != value}
    assumed = "survey, program and pixel of the path"
    seen = assumed if not wrong else ", ".join(f"{key} = {value}" for key, value in wrong.items())
    means = "the path counts: it is written as the spectra's survey, program and pixel"
    yield asking.compare(
        "header of coadds", f"{coadd.fits.hdus[0]}", assumed=assumed, seen=seen, otherwise=NOTE, means=means
    )
    ra, dec = fibermap["TARGET_RA"], fibermap["TARGET_DEC"]
    there = np.isfinite(ra) & np.isfinite(dec) & (np.abs(dec) <= 90)
    ra, dec = ra[there], dec[there]
    pixels = np.full(len(ra), file.pix64)
    inside = agreement(pixels, ra, dec, asking.release.nside, True)
    assumed = f"in their pixel, NSIDE={asking.release.nside} NESTED"
    if inside >= IN_PIXEL or not len(ra):
        yield asking.found(
            AS_ASSUMED,
            "positions of fibers",
            f"{coadd.fibermap_hdu}",
            assumed=assumed,
            seen=f"{inside:.0%}",
        )
        return
    nside, order, share = guess_scheme(pixels, ra, dec)[0]
    seen = f"{inside:.0%} in pixel {file.pix64}" + (
        f"; {share:.0%} with NSIDE={nside} {order}" if share > inside else ""
    )
    means = "rows would be looked for in the wrong coadds, and not found"
    change = (
        f"config/releases.yaml, entry {asking.release.name}: pixels: nside: {nside}"
        if order == "NESTED" and share >= IN_PIXEL
        else REPORT
    )
    verdict = FAILS if inside < 0.5 else NOTE
    yield asking.found(
        verdict, "positions of fibers", f"{coadd.fibermap_hdu}", assumed=assumed, seen=seen, means=means, change=change
    )


def _checksum(asking: Asking, coadd: Coadd, hdu: HDU) -> Finding:
    """Compare an HDU, which is read anyway, with the checksums in its header."""
    header, data = coadd.fits.source.read([(hdu.start, hdu.data_start), (hdu.data_start, hdu.stop)])
    problem = checksum_problem(hdu, header, data)
    told = {"assumed": "DATASUM and CHECKSUM agree"}
    if not problem:
        return asking.found(
            AS_ASSUMED, "FITS checksums", f"{hdu}", seen="they agree" if problem is None else "no such cards", **told
        )
    told |= {"means": "the file is damaged, or was changed without its cards; a run does not look at them"}
    told["change"] = "compare its SHA-256; or set desi.transfer: files, which does that with every file"
    return asking.found(NOTE, "FITS checksums", f"{hdu}", seen=problem, **told)
