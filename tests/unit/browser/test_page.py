"""What the spectrum browser's pages hold: that it is what the files hold, and that nothing breaks out of a page."""

import io

import browse
import h5py
import numpy as np
import pytest
from PIL import Image

from browser_pages import Page, contents, decode
from skyharvest.browser import data as browserdata
from skyharvest.browser.data import NO_DATA, color_png
from skyharvest.browser.encoding import encode, runs
from skyharvest.browser.page import write_page
from skyharvest.browser.sources import opened
from skyharvest.core import cli
from skyharvest.core.errors import InputError, MalformedFile
from skyharvest.sky.spectral_lines import ABSORPTION, EMISSION, KINDS
from skyharvest.surveys import SURVEYS
from skyharvest.surveys.hetdex.cube import air_to_vacuum
from small_pages import ARM_WAVE, TOY, TOY_WAVE, WAVE, write_files, write_toy

N = 37  # two full scripts and a part


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return write_files(tmp_path_factory.mktemp("crossmatches"), N, arms=True)


@pytest.fixture(scope="module")
def page(files, tmp_path_factory):
    out = tmp_path_factory.mktemp("report") / "healpix=1702.html"
    assert write_page(files.all, out) == N
    return out


# --- Numbers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<f8"])
def test_numbers_come_back_bit_for_bit(dtype):
    own = np.dtype(dtype).newbyteorder("<")
    bits = np.random.default_rng(1).integers(0, 2**32, (2, 500), dtype="u4" if own.itemsize == 4 else "u8")
    values = bits.view(own.str)  # NaN with all kinds of payloads, subnormals, infinities
    values[:, :4] = [0.0, -0.0, np.inf, -np.inf]
    text = encode(*values.astype(dtype))
    assert decode(text, own).tobytes() == values.tobytes()


def test_spectra_are_those_of_the_file(files, page):
    data, made = contents(page)
    _, arms = contents(page, "arms")
    assert [len(content["sources"]) for content in made] == [16, 16, 5]
    spectra = [source for content in made for source in content["sources"]]
    of_arms = [source for content in arms for source in content["sources"]]
    with h5py.File(files.desi) as file:
        desi = file["desi"]
        for k in range(N):
            pieces = {"spectrum": spectra[k], **of_arms[k]}
            assert list(pieces) == ["spectrum", "b", "r", "z"]
            for prefix, piece in pieces.items():
                expected = np.concatenate([desi[f"{prefix}_flux"][k], desi[f"{prefix}_ivar"][k]])
                assert decode(piece["data"], "<f4").tobytes() == expected.tobytes(), (k, prefix)
                mask = np.zeros(len(expected) // 2, int)
                for start, stop, value in piece["mask"]:
                    assert not mask[start:stop].any()
                    mask[start:stop] = value
                assert np.array_equal(mask, desi[f"{prefix}_mask"][k])
        for kind, dataset in {"combined": "spectrum", **{arm: arm for arm in ARM_WAVE}}.items():
            assert np.array_equal(decode(data["grids"][kind], "<f8"), desi[f"{dataset}_lambda"][:])


def test_hetdex_is_matched_by_csv_row(files, page):
    data, made = contents(page)
    with h5py.File(files.hetdex) as file, h5py.File(files.desi) as desi:
        expected = {}
        for k, row in enumerate(file["chandra/row"][:].tolist()):
            expected.setdefault(row, []).append(k)
        assert np.array_equal(decode(data["grids"]["hetdex"], "<f8"), file["hetdex/spectrum_lambda_vacuum"][:])
        rows = desi["chandra/row"][:].tolist()
        assert data["table"]["n_hetdex"] == [len(expected.get(row, [])) for row in rows]
        n_seen = 0
        for k, row in enumerate(rows):
            found = made[k // 16]["hetdex"].get(str(row), [])
            assert [one["shotid"] for one in found] == [str(file["hetdex/shotid"][j]) for j in expected.get(row, [])]
            for one, j in zip(found, expected.get(row, []), strict=True):
                both = np.concatenate([file["hetdex/spectrum_flux"][j], file["hetdex/spectrum_error"][j]])
                assert decode(one["data"], "<f4").tobytes() == both.tobytes()
                n_seen += 1
    assert n_seen > N // 3


@pytest.mark.parametrize(
    ("mask", "expected"),
    [([], []), ([0, 0], []), ([4], [[0, 1, 4]]), ([1, 1, 0, 2, 3, 3], [[0, 2, 1], [3, 4, 2], [4, 6, 3]])],
)
def test_runs(mask, expected):
    assert runs(np.array(mask, "i4")) == expected


# --- The table -------------------------------------------------------------------------------------------------------


def test_the_table_is_the_files(files, page):
    data = Page(page).data
    with h5py.File(files.desi) as file:
        assert [int(value) for value in data["table"]["targetid"]] == file["desi/targetid"][:].tolist()
        assert {type(value) for value in data["table"]["targetid"]} == {str}  # more than 53 bits
        assert data["table"]["row"] == file["chandra/row"][:].tolist()
        for name in ("ra", "dec", "z", "zwarn", "separation_arcsec", "primary"):
            assert data["table"][name] == file[f"desi/{name}"][:].tolist()
        assert data["table"]["spectype"] == [value.decode() for value in file["desi/spectype"][:]]


def test_columns_are_shown_as_they_are(files, page):
    data, made = contents(page)
    with h5py.File(files.desi) as file:
        csv, desi = file["chandra"], file["desi"]
        names = [name for name, _ in data["csv_columns"]]
        assert names == list(csv)
        assert ["flux_r", "nanomaggy"] in data["main"]["columns"]
        assert not any("spectrum" in name or "lambda" in name for name, _ in data["main"]["columns"])
        for k in range(N):
            shown = dict(zip(names, made[k // 16]["sources"][k % 16]["csv"], strict=True))
            assert shown["name"] == csv["name"][k].decode()
            assert shown["obsid"] == ("" if k % 2 else str(20_000 + int(csv["row"][k])))  # odd ones are empty
            assert (shown["counts"] == "") == (k % 4 == 0)
            values = made[k // 16]["sources"][k % 16]["desi"]
            flux = dict(zip([name for name, _ in data["main"]["columns"]], values, strict=True))["flux_r"]
            assert np.float32(flux) == desi["flux_r"][k]


def test_a_file_without_redshifts_and_spectra_has_a_page(tmp_path):
    files = write_files(tmp_path / "in", 3)
    with h5py.File(files.desi, "r+") as file:
        for name in ("z", "zerr", "zwarn", "spectype", "subtype", "deltachi2"):
            del file[f"desi/{name}"]
        for name in ("lambda", "flux", "ivar", "mask"):
            del file[f"desi/spectrum_{name}"]
    assert write_page({"desi": files.desi}, tmp_path / "healpix=1702.html") == 3
    data, made = contents(tmp_path / "healpix=1702.html")
    assert data["grids"] == {}
    assert "z" not in data["table"]
    assert set(made[0]["sources"][0]) == {"csv", "desi"}


def test_a_pixel_without_matches_has_a_page(tmp_path):
    files = write_files(tmp_path / "in", 0)
    out = tmp_path / "healpix=1702.html"
    assert write_page(files.all, out) == 0
    assert Page(out).data["table"]["targetid"] == []
    assert out.with_suffix("").is_dir()


def test_redshifts_that_are_no_numbers_are_none(tmp_path):
    files = write_files(tmp_path / "in", 3)
    with h5py.File(files.desi, "r+") as file:
        file["desi/z"][1], file["desi/zerr"][2] = np.nan, np.inf
    out = tmp_path / "healpix=1702.html"
    write_page({"desi": files.desi}, out)
    table = Page(out).data["table"]
    assert [value is None for value in table["z"]] == [False, True, False]
    assert [value is None for value in table["zerr"]] == [False, False, True]


def test_rows_that_hetdex_alone_has_come_last(tmp_path):
    files = write_files(tmp_path / "in", 12, arms=True, alone=7)
    out = tmp_path / "healpix=1702.html"
    assert write_page(files.all, out) == 19
    data, made = contents(out)
    _, arms = contents(out, "arms")
    table = data["table"]
    with h5py.File(files.desi) as desi, h5py.File(files.hetdex) as hetdex:
        covered = desi["chandra/row"][:].tolist()
        rows = hetdex["chandra/row"][:].tolist()
        alone = sorted(set(rows) - set(covered))
        assert len(alone) == 7
        assert table["row"] == covered + alone
        assert table["targetid"] == [*map(str, desi["desi/targetid"][:].tolist()), *[""] * 7]
        assert {len(values) for values in table.values()} == {19}
        assert table["z"][12:] == [None] * 7
        assert table["spectype"][12:] == [""] * 7
        assert table["n_hetdex"][12:] == [rows.count(row) for row in alone]
        assert table["n_images"][12:] == [1] * 7
        sources = [source for content in made for source in content["sources"]]
        assert [len(content["sources"]) for content in made] == [16, 3]
        assert ["data" in source for source in sources] == [True] * 12 + [False] * 7
        of_arms = [source for content in arms for source in content["sources"]]
        assert [list(source) for source in of_arms] == [["b", "r", "z"]] * 12 + [[]] * 7
        for k, row in enumerate(alone, 12):
            j = rows.index(row)
            assert [table["ra"][k], table["dec"][k]] == [hetdex["hetdex/ra"][j], hetdex["hetdex/dec"][j]]
            shown = dict(zip([name for name, _ in data["csv_columns"]], sources[k]["csv"], strict=True))
            assert shown["row"] == str(row)
            assert shown["name"] == hetdex["chandra/name"][j].decode()
            spectra = made[k // 16]["hetdex"][str(row)]
            assert [one["shotid"] for one in spectra] == [
                str(hetdex["hetdex/shotid"][i]) for i, other in enumerate(rows) if other == row
            ]
            both = np.concatenate([hetdex["hetdex/spectrum_flux"][j], hetdex["hetdex/spectrum_error"][j]])
            assert decode(spectra[0]["data"], "<f4").tobytes() == both.tobytes()
            assert str(row) in made[k // 16]["images"]


def test_a_pixel_that_hetdex_alone_has_has_a_page(tmp_path):
    files = write_files(tmp_path / "in", 3, alone=2)
    out = tmp_path / "healpix=1702.html"
    with h5py.File(files.hetdex) as file:
        rows = sorted(set(file["chandra/row"][:].tolist()))
    assert write_page({"hetdex": files.hetdex}, out) == len(rows) == 3
    data, made = contents(out)
    assert data["table"]["row"] == rows
    assert data["attributes"]["healpix"] == 1702
    assert data["releases"] == {"HETDEX": "pdr1"}
    assert list(data["grids"]) == ["hetdex"]
    assert sorted(map(int, made[0]["hetdex"])) == rows


def test_a_survey_that_no_module_knows_has_its_spectra_shown(tmp_path, monkeypatch):
    monkeypatch.setitem(SURVEYS, "toy", TOY)
    files = write_files(tmp_path / "in", 12, alone=7)
    with h5py.File(files.desi) as desi, h5py.File(files.hetdex) as hetdex:
        of_desi, of_hetdex = (file["chandra/row"][:].tolist() for file in (desi, hetdex))
    row = sorted([of_desi[1], of_hetdex[-1], of_hetdex[-1], 100_000, 100_001])
    toy = write_toy(tmp_path / "crossmatch_toy.hdf5", row)
    out = tmp_path / "healpix=1702.html"
    assert write_page({**files.all, "toy": toy}, out) == 12 + 7 + 2
    data, made = contents(out)
    assert data["table"]["row"][-2:] == [100_000, 100_001]  # what the other surveys do not have comes last
    assert data["table"]["n_toy"] == [row.count(one) for one in data["table"]["row"]]
    assert data["overlays"][-1] == {"survey": "toy", "title": "Toy", "labels": ["plate"]}
    assert data["releases"]["Toy"] == "t1"
    assert np.array_equal(decode(data["grids"]["toy"], "<f8"), TOY_WAVE)
    assert "".join(made[1]["sources"][-1]["csv"][:1]) != ""
    shown = [(int(one), spectrum) for content in made for one, found in content["toy"].items() for spectrum in found]
    with h5py.File(toy) as file:
        assert sorted(one for one, _ in shown) == row
        for _, spectrum in shown:
            k = file["toy/plate"][:].tolist().index(int(spectrum["plate"]))
            flux, error = decode(spectrum["data"], "<f4").reshape(2, -1)
            assert np.array_equal(flux, file["toy/spectrum_flux"][k])
            np.testing.assert_allclose(error, file["toy/spectrum_ivar"][k] ** -0.5, rtol=1e-6)
    assert write_page({"toy": toy}, out) == 4  # alone
    assert Page(out).data["main"] is None


# --- Lines -----------------------------------------------------------------------------------------------------------


def test_hydrogen_is_where_rydberg_says():
    rydberg = 109_677.5834  # 1/cm, of hydrogen
    series = {"Lyα": (1, 2), "Lyβ": (1, 3), "Hα": (2, 3), "Hβ": (2, 4), "Hγ": (2, 5), "Hδ": (2, 6)}
    series |= {"Hε": (2, 7), "Hζ": (2, 8)}
    found = {line.label: line.wave for line in EMISSION}
    for label, (low, high) in series.items():
        assert found[label] == pytest.approx(1e8 / (rydberg * (low**-2 - high**-2)), rel=3e-5), label


def test_lines_are_in_vacuum():
    """Against air wavelengths, as in NIST's tables and in every textbook."""
    in_air = [
        *[("[O III]", 5006.84), ("[O III]", 4958.91), ("[O III]", 4363.21), ("[N II]", 6583.45), ("[N II]", 6548.05)],
        *[("[S II]", 6716.44), ("[S II]", 6730.82), ("[O I]", 6300.30), ("[O I]", 6363.78), ("He I", 5875.62)],
        *[("He II", 4685.7), ("[Ne III]", 3868.76), ("[Ne V]", 3425.88), ("[Ar III]", 7135.79), ("[S III]", 9068.6)],
        *[("[S III]", 9530.6), ("Ca K", 3933.66), ("Ca H", 3968.47), ("Na D", 5889.95), ("Na D", 5895.92)],
        *[("Mg b", 5167.32), ("Mg b", 5172.68), ("Mg b", 5183.60), ("Ca II", 8498.02), ("Ca II", 8542.09)],
        *[("Ca II", 8662.14), ("G band", 4304.4)],
    ]
    for label, wave in in_air:
        near = min((line.wave for line in EMISSION + ABSORPTION if line.label == label), key=lambda at: abs(at - wave))
        assert near == pytest.approx(float(air_to_vacuum(np.array([wave]))[0]), abs=0.15), (label, wave)
    for lines in KINDS.values():
        assert all(900 < line.wave < 10_000 and line.rank in (1, 2, 3) for line in lines)


# --- Pictures --------------------------------------------------------------------------------------------------------


def pixels(image, bands):
    return np.asarray(Image.open(io.BytesIO(color_png(image, bands)))).astype(int)


def cutout(light, size=40, at=(9, 30), seed=5):
    """Return bands with one source at x, y."""
    image = np.random.default_rng(seed).normal(0, 0.01, (len(light), size, size)).astype("f4")
    image[:, at[1] - 1 : at[1] + 2, at[0] - 1 : at[0] + 2] += np.array(light, "f4")[:, None, None]
    return image


def test_pictures_have_north_up_and_the_colours_of_the_sky():
    for light, brightest in (([0.1, 0.5, 2.0], 0), ([2.0, 0.5, 0.1], 2)):
        shown = pixels(cutout(light), ["g", "r", "z"])
        assert shown.shape == (40, 40, 3)
        peak = np.unravel_index(shown.sum(axis=2).argmax(), (40, 40))
        assert abs(peak[1] - 9) <= 1
        assert abs(peak[0] - (39 - 30)) <= 1  # row 30 from below
        assert shown[39 - 30, 9].argmax() == brightest
        assert np.median(shown) < 60  # the sky is dark
    grey = pixels(cutout([1.0]), ["r"])
    assert (grey[..., 0] == grey[..., 2]).all()


def test_pictures_use_the_bands_that_there_are():
    image = cutout([0.1, 0.5, 9.0, 2.0])
    image[2] = np.nan
    assert np.array_equal(pixels(image, ["g", "r", "i", "z"]), pixels(image[[0, 1, 3]], ["g", "r", "z"]))
    assert np.array_equal(pixels(image[[3, 0, 1]], ["z", "g", "r"]), pixels(image[[0, 1, 3]], ["g", "r", "z"]))
    image[:, :10] = np.nan
    shown = pixels(image, ["g", "r", "i", "z"])
    assert (shown[-10:] == NO_DATA).all()
    assert (shown[:-10] != NO_DATA).any(axis=2).all()
    assert (pixels(np.full((2, 8, 8), np.nan, "f4"), ["g", "r"]) == NO_DATA).all()
    assert (pixels(np.zeros((3, 8, 8), "f4"), ["g", "r", "z"]) == NO_DATA).all()  # no exposure
    assert pixels(np.full((3, 8, 8), 1e-6, "f4"), ["g", "r", "z"]).max() < 60  # without noise


def test_of_two_cutouts_the_fuller_one_is_shown(tmp_path):
    files = write_files(tmp_path / "in", 1)
    with h5py.File(files.images, "r+") as file:
        group = file["legacysurvey"]
        more = {name: np.repeat(group[name][:], 2, axis=0) for name in group if name != "band"}
        more["image"][0], more["coverage"][0] = np.nan, 0
        more["brickname"][:] = [b"1493p012", b"1493p015"]
        for name, values in more.items():
            del group[name]
            group[name] = values
        row = file["chandra/row"][0]
        del file["chandra/row"]
        file["chandra/row"] = [row, row]
    write_page({"desi": files.desi, "legacysurvey": files.images}, tmp_path / "healpix=1702.html")
    data, made = contents(tmp_path / "healpix=1702.html")
    (picture,) = made[0]["images"].values()
    assert picture["brickname"] == "1493p015"
    assert picture["bands"] == ["g", "r", "z"]  # i is NaN
    assert data["table"]["n_images"] == [2]


# --- Pages -----------------------------------------------------------------------------------------------------------


def test_nothing_breaks_out_of_a_page(files, page):
    """The CSV's text has tags and the end of a script in it."""
    found = Page(page)
    assert "b" not in found.tags
    assert found.tags.count("script") == 1 + len(found.scripts)
    for path in page.with_suffix("").glob("*.js"):
        assert "<" not in path.read_text(encoding="utf-8")
    assert all((page.parent / name).exists() for name in found.scripts)
    assert not any("//" in name for name in found.scripts)  # nothing from a network


def test_pages_share_their_assets_and_come_last(files, tmp_path):
    out = tmp_path / "healpix=1702.html"
    write_page({"desi": files.desi}, out)
    assets = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "assets").iterdir()}
    before, spectra = out.read_bytes(), sorted(out.with_suffix("").iterdir())
    other = write_files(tmp_path / "in", 5, seed=9)
    torn = tmp_path / "torn.hdf5"
    torn.write_bytes(other.hetdex.read_bytes()[:5000])
    with pytest.raises(MalformedFile, match="remove it"):
        write_page({"desi": other.desi, "hetdex": torn}, out)
    assert out.read_bytes() == before  # an older page is whole
    assert all(path.exists() for path in spectra)
    assert write_page({"desi": other.desi}, out) == 5
    assert len(list(out.with_suffix("").iterdir())) == 1  # nothing old is left
    write_page({"desi": files.desi}, tmp_path / "healpix=1703.html")
    assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / "assets").iterdir()} == assets
    (damaged := next((tmp_path / "assets").glob("bokeh-3*"))).write_text("")
    write_page({"desi": files.desi}, tmp_path / "healpix=1703.html")
    assert damaged.stat().st_size > 100_000


def test_pages_of_equal_files_are_equal(files, tmp_path):
    made = []
    for name in ("a", "b"):
        out = tmp_path / name / "healpix=1702.html"
        write_page({"desi": files.desi, "hetdex": files.hetdex}, out)
        made.append({str(path.relative_to(out.parent)): path.read_bytes() for path in out.parent.rglob("*.*")})
    assert made[0] == made[1]


def test_spectra_are_read_some_at_a_time(files):
    with opened(files.all) as sources:
        assert browserdata.n_files(sources) == 3
        assert sources.arms == ("b", "r", "z")
        assert len(browserdata.files(sources, 2)["arms"]["sources"]) == 5
    assert len(WAVE) == 7781


# --- What is wrong ---------------------------------------------------------------------------------------------------


def test_files_of_other_pixels_and_kinds_are_refused(files, tmp_path):
    out = tmp_path / "healpix=1702.html"
    other = write_files(tmp_path / "in", 2)
    with h5py.File(other.hetdex, "r+") as file:
        file.attrs["healpix"] = 1703
    with pytest.raises(InputError, match=r"1703.*1702"):
        write_page({"desi": files.desi, "hetdex": other.hetdex}, out)
    with h5py.File(other.hetdex, "r+") as file:
        file.attrs["healpix"] = 1702
        file.attrs["csv_sha256"] = "another"
    with pytest.raises(InputError, match="different CSV files"):
        write_page({"desi": files.desi, "hetdex": other.hetdex}, out)
    with pytest.raises(InputError, match="no spectra to show: give the pixel's file of DESI or HETDEX"):
        write_page({"legacysurvey": files.images}, out)
    with pytest.raises(InputError, match="is of survey hetdex, expected desi"):
        write_page({"desi": files.hetdex}, out)
    with pytest.raises(InputError, match="is of survey hetdex, expected legacysurvey"):
        write_page({"desi": files.desi, "legacysurvey": files.hetdex}, out)
    with h5py.File(other.desi, "r+") as file:
        del file["desi/spectrum_ivar"]
    with pytest.raises(MalformedFile, match="no /desi/spectrum_ivar"):
        write_page({"desi": other.desi}, out)
    with h5py.File(other.desi, "r+") as file:
        del file["chandra"]
    with pytest.raises(MalformedFile, match="no group /chandra"):
        write_page({"desi": other.desi}, out)
    with h5py.File(other.desi, "r+") as file:
        del file.attrs["csv_group"]
    with pytest.raises(InputError, match=r"an older version made it; then run the workflow again"):
        write_page({"desi": other.desi}, out)
    with pytest.raises(InputError, match=r"\.html"):
        write_page({"desi": files.desi}, tmp_path / "page")
    assert not out.exists()


def test_the_program(files, tmp_path, capsys):
    out = tmp_path / "healpix=1702.html"
    paths = ["--desi", str(files.desi), "--hetdex", str(files.hetdex), "--legacysurvey", str(files.images)]
    assert cli.run(browse.main, browse.build_parser(), [*paths, "--out", str(out)]) == 0
    assert len(Page(out).data["table"]["targetid"]) == N
    assert cli.run(browse.main, browse.build_parser(), ["--desi", "gone.hdf5", "--out", str(out)]) == 1
    assert "gone.hdf5" in capsys.readouterr().err
