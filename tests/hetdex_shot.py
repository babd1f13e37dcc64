"""A shot of VIRUS as the steps before its file leave it, of random numbers that are known: for tests and benchmarks."""

import csv
from dataclasses import dataclass, field
from pathlib import Path

import fitsio
import h5py
import numpy as np

AMPS = ("LL", "LU", "RL", "RU")
GRID = 3470.0 + 2.0 * np.arange(1036)
SPECTRA = (
    "chi2",
    "rms",
    "spectrum",
    "wavelength",
    "trace",
    "fiber_to_fiber",
    "error1d",
    "sky_subtracted",
    "sky_spectrum",
)
THROUGHPUT = np.interp(GRID, [3470, 4000, 4500, 5540], [0.02, 0.09, 0.13, 0.12])
SKY_WAVE = np.arange(3460.0, 5560.0, 1.0)


def wavelengths(amp: str) -> np.ndarray:
    """Å of an amplifier's pixels."""
    return 3490 + 1.96 * np.arange(1032) + AMPS.index(amp) + np.linspace(-3, 3, 112)[:, None]


def full_sky(expnum: int) -> np.ndarray:
    """Counts of the field's sky at `SKY_WAVE`."""
    return 150 + 5 * expnum + 30 * np.sin(SKY_WAVE / 40)


def spectra(seed: int, amp: str, expnum: int) -> dict[str, np.ndarray]:
    """What the multifits of an amplifier has, (112, 1032) each; fiber 7 is dead, and some pixels are not known."""
    random = np.random.default_rng([seed, AMPS.index(amp), expnum])
    wave = wavelengths(amp)
    sky = np.interp(wave, SKY_WAVE, full_sky(expnum))
    error = np.sqrt(sky + 27)
    above = random.normal(size=wave.shape) * error
    above[20] += 400.0  # a source
    made = {
        "chi2": random.chisquare(10, wave.shape) / 10,
        "rms": random.uniform(0.9, 1.1, wave.shape),
        "spectrum": above + sky,
        "wavelength": wave,
        "trace": 20 + 9.0 * np.arange(112)[:, None] + np.zeros(1032),
        "fiber_to_fiber": random.uniform(0.9, 1.1, wave.shape),
        "error1d": error,
        "sky_subtracted": above,
        "sky_spectrum": sky,
    }
    unknown = random.random(wave.shape) < 0.003
    for name in ("spectrum", "error1d", "sky_subtracted", "chi2"):
        made[name][unknown] = made[name][7] = np.nan
    return {name: values.astype(np.float32) for name, values in made.items()}


def images(seed: int, amp: str, expnum: int) -> dict[str, np.ndarray]:
    """What images the multifits of an amplifier has, (1032, 1032) each."""
    random = np.random.default_rng([seed, AMPS.index(amp), expnum, 1])
    model = random.uniform(10, 50, (1032, 1032)).astype(np.float32)
    error = np.sqrt(model + 9)
    noise = error * random.standard_normal(model.shape, np.float32)
    flat = np.ones_like(model)
    images = {"processed": model + noise, "error": error, "clean_image": noise, "model2d": model}
    return images | {"flat": flat, "flat_orig": flat}


@dataclass
class Shot:
    """A shot's files.

    Attributes
    ----------
    root
        Where they are.
    ifus
        Pairings.
    expnums
        Exposures.
    failed
        Amplifiers without a multifits: (exposure, pairing, amp).
    name
        The shot's.
    with_images
        Whether multifits have images; else they have a pixel in their place.
    links
        Whether multifits of pairings but the first are links to those of that.
    norm
        Of each exposure.
    """

    root: Path
    ifus: tuple[str, ...] = ("008_093_054_0123", "031_094_012_0200")
    expnums: tuple[int, ...] = (1, 2, 3)
    failed: tuple[tuple[int, str, str], ...] = ()
    name: str = "20190103v012"
    with_images: bool = False
    links: bool = False
    norm: dict[int, float] = field(default_factory=lambda: {1: 1.05, 2: 0.97, 3: 0.98})

    def write(self) -> "Shot":
        """Write all of them."""
        for expnum in self.expnums:
            for k, ifu in enumerate(self.ifus):
                self._science(expnum, k, ifu)
            self._full_sky(expnum)
        self._astrometry()
        self._stars()
        self._throughput()
        return self

    def science(self, expnum: int, ifu: str) -> Path:
        return self.root / f"science/{self.name}/exp{expnum:02d}/{ifu}"

    @property
    def all_science(self) -> list[Path]:
        return [self.science(expnum, ifu) for expnum in self.expnums for ifu in self.ifus]

    @property
    def all_sky(self) -> list[Path]:
        return [self.root / f"full_sky/{self.name}/exp{expnum:02d}" for expnum in self.expnums]

    def of_shot(self, step: str) -> Path:
        path = self.root / step / f"{self.name}.h5"
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    @staticmethod
    def multiframe(ifu: str, amp: str) -> str:
        return f"multi_{ifu[:11]}_{amp}"

    def position(self, ifu: str, amp: str, expnum: int) -> np.ndarray:
        """Return ra, dec, fpx, fpy of the fibers, (4, 112)."""
        offset = self.ifus.index(ifu) * 0.02 + AMPS.index(amp) * 0.003 + expnum * 0.0004
        at = np.arange(112) / 112
        return np.array([210 + offset + 0.001 * at, 52 + offset - 0.002 * at, 100 + at, 300 - at])

    def cards(self, expnum: int, ifu: str, amp: str) -> dict[str, object]:
        specid, ifuslot, ifuid, contid = ifu.split("_")
        return {
            "OBJECT": "DEXsp_0123", "UT": "09:08:07.65", "MJD": 58486.25 + expnum / 100, "EXPTIME": 367.5,
            "DARKTIME": 370.0, "SPECID": specid, "IFUSLOT": ifuslot, "IFUID": ifuid, "CONTID": f"S/N {contid}",
            "TRAJCRA": 14.0, "TRAJCDEC": 52.0, "PARANGLE": 250.5, "STRUCTAZ": 68.1, "AMBTEMP": 9.3, "HUMIDITY": 41.0,
            "DEWPOINT": -3.1, "BAROMPRE": 23.63, "NAME0": f"20190103T090807_{ifuslot}{amp}_sci.fits",
        }  # fmt: skip

    def _science(self, expnum: int, k: int, ifu: str) -> None:
        directory = self.science(expnum, ifu)
        directory.mkdir(parents=True)
        rows = []
        for amp in AMPS:
            failed = (expnum, ifu, amp) in self.failed
            rows.append((amp, "failed" if failed else "done", "the member is cut short" if failed else "", 3))
            path = directory / f"{self.multiframe(ifu, amp)}.fits"
            if failed:
                continue
            if self.links and k:
                first = self.ifus[0]
                path.symlink_to(self.science(expnum, first) / f"{self.multiframe(first, amp)}.fits")
                continue
            pixel = np.zeros((1, 1), np.float32)
            pictures = images(k, amp, expnum) if self.with_images else {}
            fibers = spectra(k, amp, expnum)
            with fitsio.FITS(str(path), "rw", clobber=True) as file:
                for name in ("processed", "error", "clean_image", "model2d", "flat", "flat_orig"):
                    header = self.cards(expnum, ifu, amp) if name == "processed" else None
                    file.write(pictures.get(name, pixel), extname=name, header=header)
                file.write(self.ifupos(amp).astype(np.float32), extname="ifupos")
                for name in SPECTRA[:2]:
                    file.write(fibers[name], extname=name)
                file.write(pixel)
                for name in SPECTRA[2:]:
                    file.write(fibers[name], extname=name)
        with (directory / "amps.csv").open("w", newline="") as stream:
            writer = csv.writer(stream, lineterminator="\n")
            writer.writerows([("amp", "state", "reason", "sky"), *rows])

    @staticmethod
    def ifupos(amp: str) -> np.ndarray:
        at = np.arange(112)
        return np.stack([at % 19 * 2.54 - 23, AMPS.index(amp) * 10 + at // 19 * 2.2 - 20], axis=1)

    def _full_sky(self, expnum: int) -> None:
        directory = self.root / f"full_sky/{self.name}/exp{expnum:02d}"
        directory.mkdir(parents=True)
        rows = np.zeros(SKY_WAVE.size, [("wavelength", "f8"), ("counts", "f8")])
        rows["wavelength"], rows["counts"] = SKY_WAVE, full_sky(expnum)
        fitsio.write(str(directory / "full_sky.fits"), rows, extname="FULL_SKY")
        lines = ["Spc_slt_iid_am Factor N_c Avg Scale W0 W1 Nlo"]
        lines += [
            f"{ifu[:11]}_{amp:2s}  1.000   4    0.10   12.30    0.00    0.00    0" for ifu in self.ifus for amp in AMPS
        ]
        (directory / "amp.dat").write_text("\n".join(lines) + "\n")

    def _astrometry(self) -> None:
        exposures = np.zeros(len(self.expnums), [("expnum", "i4"), ("ra", "f8"), ("dec", "f8"), ("pa", "f8")])
        nominal = np.zeros(
            len(self.expnums),
            [("expnum", "i4"), ("ra", "f4"), ("x_dither_pos", "f4"), ("y_dither_pos", "f4"), ("relflux_virus", "f4")],
        )
        quality = np.zeros(
            len(self.expnums),
            [("expnum", "i4"), *((n, "f4") for n in ("xoffset", "yoffset", "xrms", "yrms", "nstars"))],
        )
        for rows in (exposures, nominal, quality):
            rows["expnum"] = self.expnums
        exposures["ra"], exposures["dec"], exposures["pa"] = 210.01234567, 52.7654321, 251.25
        nominal["x_dither_pos"], quality["nstars"], quality["xrms"] = 1.2, 17, 0.25
        kind = [("multiframe", "S20"), ("fibidx", "i4"), *((name, "f8") for name in ("ra", "dec", "fpx", "fpy"))]
        with h5py.File(self.of_shot("astrometry"), "w") as file:
            file.attrs.update(shot=self.name, failed="")
            file["Solution/exposures"] = exposures
            file["Astrometry/NominalVals"], file["Astrometry/QA"] = nominal, quality
            file["Astrometry/CoaddImages/exp01"] = np.arange(12.0).reshape(3, 4)
            for expnum in self.expnums:
                parts = []
                for ifu in self.ifus:
                    for amp in AMPS:
                        rows = np.zeros(112, kind)
                        rows["multiframe"], rows["fibidx"] = self.multiframe(ifu, amp).encode(), np.arange(112)
                        rows["ra"], rows["dec"], rows["fpx"], rows["fpy"] = self.position(ifu, amp, expnum)
                        parts.append(rows)
                table = np.concatenate(parts)
                file[f"Solution/fibers/exp{expnum:02d}"] = np.random.default_rng(1).permutation(table)  # any order

    def _stars(self) -> None:
        kind = [("star_ID", "S28"), *((band, "f8") for band in "ugriz"), ("flags", "i4")]
        exposures = np.zeros(len(self.expnums), [("expnum", "i4"), ("norm", "f8")])
        exposures["expnum"] = self.expnums
        exposures["norm"] = [self.norm[expnum] for expnum in self.expnums]
        with h5py.File(self.of_shot("stars"), "w") as file:
            file.attrs.update(shot=self.name, failed="", fwhm=1.7, fwhm_error=0.04, n_fwhm=9)
            file["stars"], file["exposures"] = np.zeros(1, kind), exposures
            file["stars"].attrs["flags"] = "1: on an edge; 2: another star is near"
            for name in ("counts", "variance"):
                file[name] = np.zeros((1, len(self.expnums), 1036), np.float32)

    def _throughput(self) -> None:
        names = ("wavelength", "throughput", "tp_low", "tp_high", "rat_poly", "tp_gband")
        table = np.zeros(52, [(name, "f8") for name in names])
        table["wavelength"] = 3500 + 40 * np.arange(52)
        table["throughput"] = np.interp(table["wavelength"], GRID, THROUGHPUT)
        with h5py.File(self.of_shot("throughput"), "w") as file:
            file.attrs.update(shot=self.name, failed="", response_4540=0.1299)
            file["throughput"], file["curve"] = table, THROUGHPUT
