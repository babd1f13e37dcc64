"""Lists of nights become units of work; every frame is used or left out with a reason, once."""

import dataclasses
from collections import Counter

import numpy as np
import pytest

from skyharvest.core.errors import InputError, MalformedFile
from skyharvest.reduction.hetdex.frames import frames_file
from skyharvest.reduction.hetdex.frames.fplane import Slot
from skyharvest.reduction.hetdex.frames.known import Known
from skyharvest.reduction.hetdex.frames.planning import make_plan, observations, read_left_out, write_all
from skyharvest.reduction.hetdex.frames.tar_index import BAD, Row
from skyharvest.reduction.hetdex.layout import AMPS, Layout
from skyharvest.reduction.hetdex.plan import Choice, nights_to_index, read_plan

ONE, TWO = "008_093_054_0123", "013_103_019_0456"
PLANE = {
    "093": Slot("093", 349.5, 148.6, "008", "157", "054", 0.0, 1.0),
    "103": Slot("103", 450.1, 150.0, "013", "152", "019", 0.0, 1.0),
}


def row(night, obs, expnum, kind, amp, ifu=ONE, **changes):
    specid, ifuslot, ifuid, contid = ifu.split("_")
    member = f"virus{obs:07d}/exp{expnum:02d}/virus/{night}T00{obs:02d}0{expnum}_{ifuslot}{amp}_{kind}.fits"
    where = {"tar": f"/raw/{night}/virus/virus{obs:07d}.tar", "member": member, "offset": 512, "size": 100}
    about = {"digest": f"{obs}{expnum}{amp}", "exptime": "360", "header": {"OBJECT": "DEX", "TRAJCRA": "13.0"}}
    own = Row(night, obs, expnum, kind, ifuslot, amp, specid, ifuid, contid, **where, **about)
    return dataclasses.replace(own, **changes)


def night(date=20190103, ifus=(ONE,), zro=(1, 2, 3), twi=(1,), sci=(1, 2, 3), obs=12):
    taken = [("zro", 1, zro), ("twi", 2, twi), ("sci", obs, sci)]
    return [
        row(date, number, expnum, kind, amp, ifu)
        for kind, number, expnums in taken
        for expnum in expnums
        for ifu in ifus
        for amp in AMPS
    ]


def plan(*nights, choice=Choice(), known=None, plane=PLANE):  # noqa: B008
    planned = make_plan(nights, choice, known or Known(), lambda _night: plane)
    check_account(planned, nights)
    return planned


def check_account(planned, nights):
    """Every row is in units, or it is left out: once."""
    assert [one.row for one in planned.judged] == [row for rows in nights for row in rows]
    for one in planned.judged:
        assert bool(one.units) != bool(one.why), one
        assert not one.why or one.reason
    used = Counter()
    for (_, _ifu), frames in planned.frames.items():
        used.update({(one.row.tar, one.row.member): 1 for one in frames if not one.why})
    assert set(used) == {(one.row.tar, one.row.member) for one in planned.judged if one.units}


def states(planned, kind=None):
    return {str(unit): unit.state for unit in planned.units if kind in (None, unit.kind)}


def test_units_of_a_month(tmp_path):
    planned = plan(night(ifus=(ONE, TWO)), night(20190120, sci=(), twi=(1, 2)))
    of_shot = [f"science 20190103v012 exp0{expnum} {ifu}" for expnum in (1, 2, 3) for ifu in (ONE, TWO)]
    calibrations = [f"{kind} 201901 {ifu}" for kind in ("bias", "twilight") for ifu in (ONE, TWO)]
    assert states(planned) == dict.fromkeys(calibrations + of_shot, "ready")
    numbers = {unit.key[0] + unit.ifu[:3]: unit.n_frames for unit in planned.units}
    assert numbers == {
        "bias008": 24,
        "bias013": 12,
        "twilight008": 12,
        "twilight013": 4,
        "science008": 4,
        "science013": 4,
    }
    layout = Layout(tmp_path)
    (tmp_path / "frames/201901").mkdir(parents=True)
    (tmp_path / "frames/201901/gone.csv").touch()
    write_all(planned, layout, layout.plan, layout.left_out)
    back = read_plan(layout.plan)
    assert list(back.units) == planned.units
    assert back.months == [201901]
    assert back.pairings(201901) == [ONE, TWO]
    assert back.shots == ["20190103v012"]
    assert back.exposures("20190103v012") == ["exp01", "exp02", "exp03"]
    assert back.ifus("20190103v012", "exp02") == [ONE, TWO]
    assert back.unit("science", "20190103v012", "exp02", TWO).n_frames == 4
    with pytest.raises(InputError, match="no unit science 20190103v013"):
        back.unit("science", "20190103v013", "exp02", TWO)
    assert sorted(path.name for path in tmp_path.glob("frames/*/*")) == [f"{ONE}.csv", f"{TWO}.csv"]
    frames = frames_file.read(layout.frames(201901, ONE), type="twi")
    assert [(one.night, one.expnum) for one in frames] == [(20190103, 1)] * 4 + [(20190120, 1)] * 4 + [
        (20190120, 2)
    ] * 4
    assert read_left_out(layout.left_out) == []
    lines = layout.observations(201901).read_text().splitlines()
    assert len(lines) == 1 + 7 + 5
    assert "20190103,12,1,sci,20190103v012,DEX,360,2,8,8,0,195," in lines[5]
    layout.plan.write_text(layout.plan.read_text()[:-30])
    with pytest.raises(MalformedFile, match=r"plan\.csv: line \d+: .*; remove the file and run again"):
        read_plan(layout.plan)


def test_the_digest_of_a_unit_changes_with_its_frames_alone():
    first = {str(unit): unit.digest for unit in plan(night()).units}
    assert len(set(first.values())) == 5
    again = {str(unit): unit.digest for unit in plan([dataclasses.replace(one, tar="/moved") for one in night()]).units}
    assert again == first
    changed = night()
    changed[-1] = dataclasses.replace(changed[-1], digest="another")
    other = {str(unit): unit.digest for unit in plan(changed).units}
    assert [key for key in first if first[key] != other[key]] == [f"science 20190103v012 exp03 {ONE}"]
    more = {str(unit): unit.digest for unit in plan(night(), night(20190104, zro=(), sci=())).units}
    assert [key for key in first if first[key] != more[key]] == [f"twilight 201901 {ONE}"]


def test_a_damaged_frame_leaves_a_hole_with_its_reason(tmp_path):
    rows = night()
    hole = dataclasses.replace(rows[-1], specid="", ifuid="", contid="", state=BAD, reason="cut short", header={})
    planned = plan([*rows[:-1], hole])
    (one,) = planned.left_out
    assert (one.ifu, one.why, one.reason) == (ONE, "damaged", "cut short")
    assert planned.units[-1].n_frames == 3
    layout = Layout(tmp_path)
    write_all(planned, layout, layout.plan, layout.left_out)
    with pytest.raises(Exception, match="cut short"):
        frames_file.read_one(layout.frames(201901, ONE), "sci", "20190103v012", 3, hole.amp)
    assert read_left_out(layout.left_out)[0]["member"] == hole.member
    # all four of an exposure: the unit is there, and cannot be done
    holes = [dataclasses.replace(row, state=BAD, reason="torn", specid="") for row in rows[-4:]]
    unit = plan([*rows[:-4], *holes]).units[-1]
    assert (str(unit), unit.state) == (f"science 20190103v012 exp03 {ONE}", "failed")
    assert "torn" in unit.reason


def test_months_without_calibration(tmp_path):
    january, february = night(), night(20190203, zro=(), twi=())
    planned = plan(january, february)
    bad = [unit for unit in planned.units if unit.state == "failed"]
    assert {unit.month for unit in bad} == {201902}
    assert {unit.kind for unit in bad} == {"bias", "twilight", "science"}
    assert "no bias frame of 008_093_054_0123 in 201902; calibration_from can name" in bad[0].reason
    neighbour = Choice.of(calibration_from=["201902:201901"])
    planned = plan(january, february, choice=neighbour)
    assert set(states(planned).values()) == {"ready"}
    bias = next(unit for unit in planned.units if (unit.kind, unit.month) == ("bias", 201902))
    assert (bias.frames_of, bias.n_frames) == (201901, 12)
    # only February is asked for: January's science is not, and its calibrations stand in
    alone = plan(january, february, choice=dataclasses.replace(neighbour, months=frozenset({201902})))
    assert {unit.month for unit in alone.units} == {201902}
    assert {one.row.type for one in alone.left_out} == {"sci"}
    # a neighbour that has none of the pairing
    planned = plan(night(ifus=(TWO,)), february, choice=neighbour)
    assert "nor in 201901, which calibration_from names" in next(u.reason for u in planned.units if u.state == "failed")
    # twilights without bias stand in for another month though their own month has no use for them
    planned = plan(night(zro=(), sci=()), night(20190203, twi=()), choice=neighbour)
    assert set(states(planned).values()) == {"ready"}
    planned = plan(night(zro=(), sci=()), night(20190203))
    assert "and there is no science frame" in planned.left_out[0].reason


def test_what_is_asked_for():
    nights = [night(20190103), night(20190104, obs=7), night(20190203)]
    planned = plan(*nights, choice=Choice.of(shots=["20190104v007"]))
    assert {unit.shot for unit in planned.units} == {"", "20190104v007"}
    assert Counter(one.row.type for one in planned.left_out) == {"sci": 24, "zro": 12, "twi": 4}
    assert next(unit for unit in planned.units if unit.kind == "bias").n_frames == 24
    planned = plan(*nights, choice=Choice.of(nights=[20190203]))
    assert {unit.month for unit in planned.units} == {201902}
    with pytest.raises(InputError, match="nothing to do"):
        plan(*nights, choice=Choice.of(months=[201905]))


def test_a_shot_that_is_not_there_is_an_error_that_names_it():
    with pytest.raises(InputError, match="found no science frame of 20190103v099"):
        plan(night(20190103), choice=Choice.of(shots=["20190103v099"]))


def test_repeats_keep_the_last_that_is_whole():
    rows = night()
    late = dataclasses.replace(rows[-1], member=rows[-1].member.replace("T001203", "T001204"), offset=9999)
    planned = plan([*rows, late])
    assert [(one.row, one.why) for one in planned.left_out] == [(rows[-1], "repeat")]
    assert "at byte 9999 is used" in planned.left_out[0].reason
    torn = dataclasses.replace(late, state=BAD, reason="cut short")
    again = dataclasses.replace(rows[0], expnum=4, member=rows[0].member.replace("exp01", "exp04"))
    planned = plan([*rows, again])
    assert [(one.row, one.why) for one in planned.left_out] == [(again, "repeat")]
    assert planned.units[0].n_frames == 12
    planned = plan([*rows, torn])
    assert [(one.row, one.why) for one in planned.left_out] == [(torn, "repeat")]
    assert "cut short" in planned.left_out[0].reason


def test_frames_and_members_that_are_of_no_use():
    others = [
        row(20190103, 3, 1, "flt", "LL"),
        Row(20190103, 12, tar="t", member="notes.txt", size=3, state=BAD, reason="no frame by its name"),
        Row(20190103, 12, tar="t", offset=99, state=BAD, reason="found no end mark"),
        Row(20190103, 12, tar="t", offset=5, size=900, state=BAD, reason="damaged tar header"),
    ]
    planned = plan([*night(), *others])
    assert [one.why for one in planned.left_out] == ["other", "other", "other", "damaged"]


def test_tables_of_what_people_know(tmp_path, caplog):
    frames, amps, swaps = (tmp_path / f"{name}.csv" for name in ("frames", "amps", "swaps"))
    frames.write_text(
        "night,obs,expnum,ifuslot,amp,reason\n"
        "20190103,12,1,*,*,clouds\n"
        "20190103,*,2,93,LL,a satellite\n"
        "*,99,1,*,*,never\n"
        "20180101,1,1,*,*,of another time\n"
    )
    amps.write_text("specid,ifuslot,amp,first,last,reason\n8,*,RU,20190101,,dead\n008,*,LU,,20181231,was dead\n")
    swaps.write_text("ifuslot,specid,ifuid,contid,first,last\n103,13,19,0456,20190103,20190103\n")
    known = Known.read(frames, amps, swaps)
    other = [dataclasses.replace(one, specid="099", ifuid="098", contid="0999") for one in night(ifus=(TWO,))]
    planned = plan(night() + other, known=known)
    assert {unit.ifu for unit in planned.units} == {ONE, TWO}
    reasons = Counter(one.reason for one in planned.left_out)
    # of both slots: the first exposure; of 093: LL of a bias and of exposure 2, RU of all others
    assert reasons == {"clouds": 8, "a satellite": 2, "dead": 6}
    assert {str(unit): unit.n_frames for unit in planned.units if unit.kind == "science"} == {
        f"science 20190103v012 exp02 {ONE}": 2,
        f"science 20190103v012 exp02 {TWO}": 4,
        f"science 20190103v012 exp03 {ONE}": 3,
        f"science 20190103v012 exp03 {TWO}": 4,
    }
    assert "frames.csv: line 4 concerns no frame" in caplog.text
    assert "line 5" not in caplog.text  # of a night that is not there
    assert "amps.csv" not in caplog.text
    assert planned.disagreements == []  # fplane agrees with the swap


@pytest.mark.parametrize(
    ("kind", "text", "what"),
    [
        ("frames", "night,obs\n", "line 1: found the columns night,obs; expected night,obs,expnum"),
        ("frames", "night,obs,expnum,ifuslot,amp,reason\n2019,1,1,*,*,x\n", "line 2, column night: found '2019'"),
        (
            "frames",
            "night,obs,expnum,ifuslot,amp,reason\n*,1,1,*,XX,x\n",
            r"column amp: found 'XX'; expected LL, LU, RL",
        ),
        ("frames", "night,obs,expnum,ifuslot,amp,reason\n*,1,1\n", "line 2: found 3 cells; expected 6"),
        ("amps", "", "found nothing; expected the columns specid"),
        (
            "swaps",
            "ifuslot,specid,ifuid,contid,first,last\n*,1,1,,,\n",
            "column ifuslot: found '\\*'; expected a number",
        ),
        (
            "swaps",
            "ifuslot,specid,ifuid,contid,first,last\n93,1,1,,,20190101\n93,2,2,,20190101,\n",
            "line 3: found slot 093 in nights that line 2 has",
        ),
    ],
)
def test_wrong_tables_are_named(tmp_path, kind, text, what):
    path = tmp_path / "table.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=what) as told:
        Known.read(**{kind: path})
    assert str(path) in str(told.value)


def test_what_fplane_says():
    rows = night(ifus=(ONE, TWO))
    moved = {**PLANE, "103": dataclasses.replace(PLANE["103"], specid="051")}
    planned = plan(rows, plane=moved)
    assert planned.disagreements == [(20190103, "103", "013", "019", "header", "051", "019")]
    assert {unit.ifu for unit in planned.units} == {ONE, TWO}  # the header counts
    planned = plan(rows, plane={"093": PLANE["093"]})
    assert {(unit.ifu, unit.state) for unit in planned.units if unit.kind == "science"} == {
        (ONE, "ready"),
        (TWO, "failed"),
    }
    assert {one.reason for one in planned.left_out} == {"fplane has no slot 103 in the night 20190103"}
    # headers that do not say are completed by fplane; a controller is not in it
    planned = plan([dataclasses.replace(one, specid="") for one in night()])
    assert {unit.ifu for unit in planned.units} == {ONE}
    planned = plan([*night(), row(20190103, 12, 4, "sci", "LL", contid="")])
    assert "no CONTID, and swaps has none for slot 093" in planned.left_out[0].reason


def test_observations_have_a_row_for_each_exposure_of_any_type():
    planned = plan([*night(), row(20190103, 3, 1, "flt", "LL", header={})])
    rows = observations(planned)[201901]
    assert [line[:4] for line in rows] == [
        *[(20190103, 1, expnum, "zro") for expnum in (1, 2, 3)],
        (20190103, 2, 1, "twi"),
        (20190103, 3, 1, "flt"),
        *[(20190103, 12, expnum, "sci") for expnum in (1, 2, 3)],
    ]


def test_nights_that_are_needed(tmp_path):
    for name in ("20190103", "20190130", "20190203", "20190301", "notes"):
        (tmp_path / name / "virus").mkdir(parents=True)
    (tmp_path / "20190110/lrs2").mkdir(parents=True)
    assert nights_to_index(tmp_path, Choice()) == [20190103, 20190130, 20190203, 20190301]
    assert nights_to_index(tmp_path, Choice.of(shots=["20190103v012"])) == [20190103, 20190130]
    stands_in = Choice.of(months=[201902], calibration_from=["201902:201901"])
    assert nights_to_index(tmp_path, stands_in) == [20190103, 20190130, 20190203]
    for wrong in (Choice.of(nights=[20190105]), Choice.of(months=[201904]), Choice.of(shots=["20190401v001"])):
        with pytest.raises(InputError, match=str(tmp_path)):
            nights_to_index(tmp_path, wrong)
    with pytest.raises(InputError, match="two neighbours"):
        Choice.of(calibration_from=["201902:201901", "201902:201903"])


def test_from_tars_to_frames_by_the_programs(tmp_path, capsys):
    import index_night
    import make_plan as program

    from raw_frames import frame, name_of, write_tar
    from skyharvest.core import cli
    from skyharvest.reduction.hetdex.frames.frame import read_frame

    raw, results = tmp_path / "raw", tmp_path / "results"
    noisy = np.random.default_rng(1).integers(998, 1003, (1032, 1064)).astype("u2")
    for obs, kind in ((1, "zro"), (2, "twi"), (12, "sci")):
        members = {name_of(obs, 1, amp, kind): frame(amp, noisy + np.uint16(obs)) for amp in ("LL", "RU")}
        write_tar(raw / f"20190103/virus/virus{obs:07d}.tar", members)
    (tmp_path / "fplane20190101").write_text("093 349.5 148.6 008 157 054 0.0 1.0\n")
    index = results / "lists/20190103.csv"
    command = ["--raw", str(raw), "--night", "20190103", "--out", str(index)]
    assert cli.run(index_night.main, index_night.build_parser(), command) == 0
    command = ["--lists", str(index), "--plan", str(results / "plan/plan.csv"), "--fplane", str(tmp_path)]
    command += ["--left-out", str(results / "plan/left_out.csv"), "--shots", "20190103v012"]
    assert cli.run(program.main, program.build_parser(), command) == 0
    frames = results / f"frames/201901/{ONE}.csv"
    read = read_frame(frames_file.read_one(frames, "sci", "20190103v012", 1, "RU"))
    assert read.level == pytest.approx(1012, abs=0.1)
    (tmp_path / "fplane20190101").rename(tmp_path / "fplane20190201")
    assert cli.run(program.main, program.build_parser(), command) == 2
    told = capsys.readouterr().err
    assert "found no fplane20190103, nor one of an earlier night" in told
    assert str(tmp_path) in told
