"""A frame is read by its offset, levelled, oriented, and in electrons."""

import dataclasses
import io

import numpy as np
import pytest
from astropy.io import fits

from raw_frames import HEADER, frame, name_of, write_tar
from skyharvest.core.errors import MalformedFile
from skyharvest.reduction.hetdex.frames.frame import read_frame
from skyharvest.reduction.hetdex.frames.frames_file import Member
from skyharvest.reduction.hetdex.frames.tar_index import index_tar

Y, X = np.mgrid[:1032, :1032]


def member_of(path, data, amp="LL"):
    write_tar(path, {"notes": b"1" * 700, name_of(12, 1, amp, "sci"): data})
    row = index_tar(path, 20190103)[-1]
    place = (row.specid, row.ifuslot, row.ifuid, row.contid, amp, row.tar, row.member, row.offset, row.size)
    return Member("sci", 20190103, 12, 1, *place)


def raw(image, level, noise=3.5, seed=1):
    rng = np.random.default_rng(seed)
    whole = np.concatenate([image, np.zeros((1032, 32))], axis=1) + level + rng.normal(0, noise, (1032, 1064))
    whole[:, 1032:1034] += 400  # what leaks into the first two columns
    whole[::97, 1050] += 5000  # cosmics
    return np.round(whole).clip(0, 65535).astype("u2")


@pytest.mark.parametrize(
    ("amp", "ampname", "turned"),
    [
        ("LL", "LL", lambda image: image),
        ("LU", "LU", lambda image: image[::-1, ::-1]),
        ("RL", "RL", lambda image: image[::-1, ::-1]),
        ("RU", "RU", lambda image: image),
        ("LL", "LR", lambda image: image[:, ::-1]),
        ("LU", "UL", lambda image: image[::-1]),
    ],
)
def test_electrons_in_the_order_of_wavelength_and_fiber(tmp_path, amp, ampname, turned):
    truth = (X * 3 + Y * 2).astype(float)  # ADU
    level = 1000 + 0.004 * np.arange(1032)[:, None]
    data = frame(amp, raw(turned(truth), level), AMPNAME=ampname, GAIN=0.9)
    read = read_frame(member_of(tmp_path / "virus0000012.tar", data, amp))
    assert read.image.dtype == np.float32
    assert read.image.flags.c_contiguous
    rest = read.image - 0.9 * truth
    assert abs(rest.mean()) < 0.02
    assert np.abs(rest.mean(axis=1)).max() < 0.6  # 5 σ of a row's mean: no row has an error of its own
    assert rest.std() == pytest.approx(3.5 * 0.9, rel=0.01)
    assert read.overscan_rms == pytest.approx(3.5 * 0.9, rel=0.03)
    assert read.level == pytest.approx(level.mean(), abs=0.1)
    assert (read.gain, read.readnoise, read.header["OBJECT"]) == (0.9, 3.0, "DEX0001")


def test_saturated_pixels_are_unknown_and_zero_is_a_value(tmp_path):
    image = raw(np.zeros((1032, 1032)), 100.0)
    image[5, 7], image[6, 8] = 65535, 0
    read = read_frame(member_of(tmp_path / "virus0000012.tar", frame("LL", image)))
    assert np.isnan(read.image[5, 7])
    assert read.image[6, 8] == pytest.approx(-85, abs=0.5)
    assert np.isnan(read.image).sum() == 1


def test_an_overscan_without_noise_is_no_overscan(tmp_path):
    """Its scatter is the frame's read noise: of 0, all errors would be too small, and the level may be anything."""
    image = raw(np.zeros((1032, 1032)), 100.0)
    image[:, 1034:] = 0
    with pytest.raises(MalformedFile, match="found an overscan of one value, 0"):
        read_frame(member_of(tmp_path / "virus0000012.tar", frame("LL", image)))


@pytest.mark.parametrize("kind", ["f4", "i4"])
def test_other_types_of_pixels(tmp_path, kind):
    image = raw(np.zeros((1032, 1032)), 100.0)
    one = read_frame(member_of(tmp_path / "virus0000012.tar", frame("LL", image)))
    other = read_frame(member_of(tmp_path / "virus0000013.tar", frame("LL", image.astype(kind), GAIN=-1.0)))
    np.testing.assert_array_equal(one.image, other.image)
    assert other.gain == 0.85


def test_what_is_not_the_frame_is_refused_by_name_and_place(tmp_path):
    path = tmp_path / "virus0000012.tar"
    member = member_of(path, frame("LL"))
    for wrong, what in (
        (dataclasses.replace(member, offset=member.offset + 512), "expected a FITS header"),
        (dataclasses.replace(member, amp="RU"), "found amplifier LL; expected RU"),
        (dataclasses.replace(member, size=100_000), "cut short: found"),
    ):
        with pytest.raises(MalformedFile, match=what) as told:
            read_frame(wrong)
        assert str(path) in str(told.value)
        assert member.member in str(told.value)
        assert str(wrong.offset) in str(told.value)
    path.write_bytes(path.read_bytes()[: member.offset + 30_000])
    with pytest.raises(MalformedFile, match="found 30000 bytes; expected"):
        read_frame(member)


def test_damaged_pixels_are_told_where_the_header_has_their_sum(tmp_path):
    hdu = fits.PrimaryHDU(raw(np.zeros((1032, 1032)), 100.0), fits.Header({**HEADER, "CCDPOS": "L", "CCDHALF": "L"}))
    hdu.add_checksum()
    out = io.BytesIO()
    hdu.writeto(out)
    path = tmp_path / "virus0000012.tar"
    member = member_of(path, out.getvalue())
    assert read_frame(member).level == pytest.approx(100, abs=0.5)
    with path.open("r+b") as file:
        file.seek(member.offset + 1_000_000)
        file.write(b"noise")
    with pytest.raises(MalformedFile, match="the pixels give"):
        read_frame(member)
