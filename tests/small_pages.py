"""Small crossmatch files of one pixel, as assembled: for the pages that show them."""

from dataclasses import dataclass, replace
from pathlib import Path

import h5py
import numpy as np

from skyharvest.harvest.shown import BrowserDescription, ReaderDescription, ReportDescription
from skyharvest.surveys.desi.about import SURVEY as DESI

WAVE = 3600 + 0.8 * np.arange(7781)
ARM_WAVE = {"b": WAVE[:2751], "r": WAVE[2700:5026], "z": WAVE[4900:7781]}
HETDEX_AIR = 3470.0 + 2 * np.arange(1036)
PIXEL = 1702
TOY = replace(
    DESI,
    name="toy",
    title="Toy",
    addresses=lambda section: (f"https://toy/{section['release']}", lambda unit, kind: f"{unit}-{kind[1]}.fits"),
    report=ReportDescription(nearest="plate's source"),
    browser=BrowserDescription(role="spectra", labels=("plate",)),
    reader=ReaderDescription(
        axes={"spectrum_lambda": "wavelength"},
        dimensions=((r"spectrum_(flux|ivar)", ("wavelength",)),),
        kinds={"spectrum": ""},
    ),
)
"""A survey that only its description knows."""
TOY_WAVE = 4000.0 + 2 * np.arange(900)
EMISSION = {3728.48: 6.0, 4862.68: 3.0, 5008.24: 8.0, 6564.61: 12.0, 1215.67: 30.0, 1549.06: 15.0, 2799.12: 9.0}


@dataclass(frozen=True)
class Files:
    """Paths of the three files."""

    desi: Path
    hetdex: Path
    images: Path

    @property
    def all(self) -> dict[str, Path]:
        """Survey → file."""
        return {"desi": self.desi, "hetdex": self.hetdex, "legacysurvey": self.images}


def spectrum(wave, z, rng):
    """Return float32 flux and ivar of a source with lines, and noise that grows to the ends."""
    error = 0.35 + 1.2 * np.exp(-(wave - 3600) / 350) + 0.3 * np.exp((wave - 9824) / 200)
    error = error * rng.uniform(0.95, 1.05, len(wave))
    flux = 3.0 * (wave / 5000) ** -0.6
    for rest, height in EMISSION.items():
        flux = flux + height * np.exp(-0.5 * ((wave - rest * (1 + z)) / 6.0) ** 2)
    return (flux + error * rng.normal(size=len(wave))).astype("f4"), (error**-2).astype("f4")


def write_files(directory: Path, n: int = 40, *, arms: bool = False, alone: int = 0, seed: int = 3) -> Files:
    """Write files with `n` DESI spectra; rows 2 and 3 are one TARGETID, every third CSV row has HETDEX and an image.

    So have `alone` CSV rows that DESI has no spectrum of.
    """
    directory.mkdir(parents=True, exist_ok=True)
    files = Files(*(directory / f"crossmatch_{name}.hdf5" for name in ("desi", "hetdex", "legacysurvey")))
    rng = np.random.default_rng(seed)
    row = 7 * np.arange(n) + 5
    targetid = 39_628_000_000_000_001 + rng.choice(10**9, n, replace=False)
    if n > 3:
        row[3], targetid[3] = row[2], targetid[2]
    ra, dec = rng.uniform(148, 150, n), rng.uniform(1, 3, n)
    z = rng.uniform(0.0, 3.0, n)
    with h5py.File(files.desi, "w") as file:
        file.attrs.update(
            {
                "survey": "desi",
                "csv_group": "chandra",
                "healpix": PIXEL,
                "nside": 16,
                "ordering": "NESTED",
                "release": "demo",
                "created": "2026-11-21",
            }
        )
        desi = file.create_group("desi")
        columns = {
            "targetid": targetid, "ra": ra, "dec": dec, "z": z, "zerr": np.full(n, 2e-5),
            "zwarn": (np.arange(n) % 5 == 4) * 4,
            "spectype": np.array([b"GALAXY", b"QSO", b"STAR"])[np.arange(n) % 3], "subtype": np.full(n, b"", "S20"),
            "survey": np.full(n, b"main"), "program": np.array([b"dark", b"bright"])[np.arange(n) % 2],
            "separation_arcsec": rng.uniform(0, 1, n), "deltachi2": rng.uniform(9, 2000, n),
            "primary": np.arange(n) != 2, "flux_r": rng.uniform(1, 50, n).astype("f4"),
        }  # fmt: skip
        for name, values in columns.items():
            desi.create_dataset(name, data=values)
        desi["flux_r"].attrs["unit"] = "nanomaggy"
        grids = {"spectrum": WAVE, **(ARM_WAVE if arms else {})}
        for prefix, wave in grids.items():
            desi.create_dataset(f"{prefix}_lambda", data=wave)
            made = [spectrum(wave, of_source, rng) for of_source in z]
            flux, ivar = (np.array([pair[k] for pair in made], "f4").reshape(n, len(wave)) for k in (0, 1))
            mask = np.zeros((n, len(wave)), "i4")
            for k in range(n):
                at = int(rng.integers(200, 1800))
                mask[k, at : at + 25], ivar[k, at : at + 25] = 3, 0
                mask[k, at + 25] = 64
                flux[k, at + 3] = 900.0  # a cosmic ray
            for kind, values in (("flux", flux), ("ivar", ivar), ("mask", mask)):
                options = {"chunks": (1, len(wave)), "compression": "gzip", "compression_opts": 1, "shuffle": True}
                desi.create_dataset(f"{prefix}_{kind}", data=values, **(options if n else {}))
        _csv(file, row, ra, dec)
    with_more = row[::3] if n else row
    index = np.unique(with_more, return_index=True)[1] * 3
    more = (7 * np.arange(alone) + 6, rng.uniform(148, 150, alone), rng.uniform(1, 3, alone), rng.uniform(0, 3, alone))
    both = [np.append(mine[index], other) for mine, other in zip((row, ra, dec, z), more, strict=True)]
    order = np.argsort(both[0])
    row, ra, dec, z = (values[order] for values in both)
    _write_hetdex(files.hetdex, row, ra, dec, z, rng)
    _write_images(files.images, row, ra, dec, rng)
    return files


def write_toy(path: Path, row, seed: int = 4) -> Path:
    """Write the assembled file of `TOY` with a spectrum of each CSV row."""
    rng = np.random.default_rng(seed)
    n = len(row)
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file.attrs.update({"survey": "toy", "csv_group": "chandra", "healpix": PIXEL, "release": "t1"})
        toy = file.create_group("toy")
        toy["ra"], toy["dec"] = rng.uniform(148, 150, n), rng.uniform(1, 3, n)
        toy["plate"] = 500 + np.arange(n)
        toy["spectrum_lambda"] = TOY_WAVE
        pairs = [spectrum(TOY_WAVE, 1.0, rng) for _ in range(n)]
        for k, name in enumerate(("flux", "ivar")):
            toy[f"spectrum_{name}"] = np.array([pair[k] for pair in pairs], "f4")
        toy["spectrum_flux"].attrs["unit"] = "10**-17 erg/(s cm2 Angstrom)"
        _csv(file, np.asarray(row), toy["ra"][:], toy["dec"][:])
    return path


def _csv(file, row, ra, dec):
    csv = file.create_group("chandra")
    csv["row"] = row
    csv["RA_DESI"], csv["DEC_DESI"] = ra, dec
    csv.create_dataset(
        "name", data=[f"2CXO J{k} <b>“ü”</b> </script>" for k in row.tolist()], dtype=h5py.string_dtype()
    )
    obsid = np.where(np.arange(len(row)) % 2, np.iinfo("i8").min, 20_000 + row)
    csv.create_dataset("obsid", data=obsid).attrs["null_value"] = np.iinfo("i8").min
    csv["counts"] = np.where(np.arange(len(row)) % 4, row * 0.5, np.nan)


def _write_hetdex(path, row, ra, dec, z, rng):
    """The first source has been seen in two shots."""
    first = [0, *range(len(row))] if len(row) else []
    with h5py.File(path, "w") as file:
        file.attrs.update({"survey": "hetdex", "csv_group": "chandra", "healpix": PIXEL, "release": "pdr1"})
        hetdex = file.create_group("hetdex")
        hetdex["ra"], hetdex["dec"] = ra[first], dec[first]
        hetdex["shotid"] = 20190101001 + np.arange(len(first))
        hetdex.create_dataset("ifuslot", data=np.array(["034"] * len(first), "S3"))
        vacuum = HETDEX_AIR + 0.99 + 2e-4 * (HETDEX_AIR - 3470)
        hetdex["spectrum_lambda"], hetdex["spectrum_lambda_vacuum"] = HETDEX_AIR, vacuum
        made = [spectrum(vacuum, z[k], rng) for k in first]
        flux = np.array([flux for flux, _ in made], "f4").reshape(-1, 1036)
        flux[:, :12] = np.nan  # too little coverage
        hetdex["spectrum_flux"] = flux
        hetdex["spectrum_error"] = np.array([ivar**-0.5 for _, ivar in made], "f4").reshape(-1, 1036)
        _csv(file, row[first], ra[first], dec[first])


def _write_images(path, row, ra, dec, rng, size=160):
    bands, brightness = ["g", "r", "i", "z"], [0.55, 1.0, 1.25, 1.5]
    y, x = np.mgrid[:size, :size]
    with h5py.File(path, "w") as file:
        file.attrs.update({"survey": "legacysurvey", "csv_group": "chandra", "healpix": PIXEL})
        group = file.create_group("legacysurvey")
        group.attrs["pixscale"] = 0.262
        group["band"] = np.array(bands, "S2")
        n = len(row)
        images = rng.normal(0, 0.008, (n, 4, size, size)).astype("f4")
        at = size / 2 + rng.uniform(-0.5, 0.5, (n, 2))
        for k in range(n):
            for source in range(12):
                sx, sy = at[k] if source == 0 else rng.uniform(0, size, 2)
                light = rng.uniform(0.3, 1.5) if source else 2.0
                width, color = rng.uniform(1.8, 6.0), rng.normal(0, 0.25)
                shape = np.exp(-np.hypot(x - sx, (y - sy) * rng.uniform(1, 1.6)) / width)
                for band, factor in enumerate(brightness):
                    images[k, band] += (light * factor * np.exp(color * (1.5 - band)) * shape / 8).astype("f4")
        images[:, 2] = np.nan  # no i here
        group["image"] = images
        group["coverage"] = np.isfinite(images).mean(axis=(2, 3))
        group["brickname"] = np.array(["1493p015"] * n, "S8")
        group["ra"], group["dec"] = ra, dec
        group["x0"], group["y0"] = np.full(n, 1200), np.full(n, 800)
        group["x"], group["y"] = 1200 + at[:, 0], 800 + at[:, 1]
        _csv(file, row, ra, dec)
