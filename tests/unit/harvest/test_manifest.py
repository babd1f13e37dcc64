"""What belongs to a run, and what a product says that it was made from."""

import h5py
import pytest
from astropy.io import fits

from skyharvest.core.errors import InputError, MalformedFile
from skyharvest.harvest.manifest import NAME, Manifest, check_alike, read_manifest, read_manifests, write_manifest
from skyharvest.harvest.origin import Origin, origin_of

MANIFEST = Manifest("desi", "dr1", "a1", "c1", 7, {1702: 3, 766: 0})


def test_a_manifest_comes_back_as_it_was_written(tmp_path):
    assert read_manifest(tmp_path, "desi") is None
    write_manifest(MANIFEST, tmp_path / "desi" / NAME)
    assert read_manifest(tmp_path, "desi") == MANIFEST
    assert read_manifests(tmp_path, ["hetdex", "desi"]) == {"desi": MANIFEST}


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"survey": "desi"}', '{"pixels": {"x": 1}}'])
def test_a_torn_manifest_is_said_to_be(tmp_path, text):
    (tmp_path / "desi").mkdir()
    (tmp_path / "desi" / NAME).write_text(text)
    with pytest.raises(MalformedFile, match=r"desi/manifest\.json is torn .*: remove it and run"):
        read_manifest(tmp_path, "desi")


@pytest.mark.parametrize(
    ("changed", "said"),
    [({"csv_sha256": "a2"}, "another CSV"), ({"config_hash": "c2"}, "other settings"), ({"csv_sha256": ""}, "absent")],
)
def test_files_of_two_runs_are_not_mixed(tmp_path, changed, said):
    own = {"csv_sha256": "a1", "config_hash": "c1"}
    check_alike(own, own, tmp_path / "b.hdf5", "a.hdf5")
    MANIFEST.check(own, tmp_path)
    with pytest.raises(InputError, match=rf"b\.hdf5 is of .*{said}"):
        check_alike(own | changed, own, tmp_path / "b.hdf5", "a.hdf5")
    with pytest.raises(InputError, match=r"desi/manifest\.json"):
        MANIFEST.check(own | changed, tmp_path)


def write_page(path, origin):
    path.write_text(f"<html><head>\n{origin.meta()}\n</head></html>")


def write_fits(path, origin):
    header = fits.Header({"CSVSHA": origin.csv_sha256, "CONFHASH": origin.config_hashes["desi"]})
    fits.PrimaryHDU(header=header).writeto(path)


def write_hdf5(path, origin):
    with h5py.File(path, "w") as file:
        file.attrs.update({"csv_sha256": origin.csv_sha256, "config_hash": origin.config_hashes["desi"]})


@pytest.mark.parametrize("write", [write_page, write_fits, write_hdf5])
def test_a_product_says_what_it_was_made_from(tmp_path, write):
    path = tmp_path / f"product.{write.__name__.removeprefix('write_').replace('page', 'html')}"
    made = Origin("6a" * 32, {"desi": "4cb813fc28da4687"})
    write(path, made)
    assert origin_of(path, "desi") == made
    path.write_bytes(b"\x89 something else")
    assert origin_of(path, "desi") is None


def test_a_product_belongs_where_all_that_it_shows_does():
    page = Origin("a1", {"desi": "c1", "hetdex": "h1"})
    hetdex = Manifest("hetdex", "pdr1", "a1", "h1", 7, {})
    assert page.belongs({"desi": MANIFEST, "hetdex": hetdex})
    assert not page.belongs({"desi": MANIFEST})
    assert not page.belongs({"desi": MANIFEST, "hetdex": Manifest("hetdex", "pdr1", "a1", "h2", 7, {})})
    assert not Origin("a2", {"desi": "c1"}).belongs({"desi": MANIFEST})
