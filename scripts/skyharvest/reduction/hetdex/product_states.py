"""The states of what is made, as products say them; what a state makes of what depends on it.

A reader returns states by what its product is divided by. Where a product is not there, or cannot be read, it says so
under an empty name; so it does of a product that is not divided.
"""

import csv
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import fitsio
import h5py

from skyharvest.core.errors import MalformedFile
from skyharvest.core.words import counted
from skyharvest.reduction.hetdex import amp_file
from skyharvest.reduction.hetdex.report_list import read_list
from skyharvest.reduction.hetdex.steps import DONE, FAILED, LEFT_OUT, WAITING

State = tuple[str, str]
"""State and reason."""
WELL: State = (DONE, "")


def after(state: State, step: str) -> State:
    """Return the state of what depends on a step that is not well: the first cause is passed on."""
    if state[0] == LEFT_OUT:
        return state
    return (WAITING, state[1] if state[0] == WAITING else f"{step}: {state[1]}")


def first_cause(states: Sequence[State], step: str) -> State | None:
    """Return the state of what needs one of several, of which none is well; None if one is."""
    if WELL in states:
        return None
    unwell = [state for state in states if state[0] != LEFT_OUT] or states
    return after(unwell[0], step)


def state_of(said: Mapping[str, State], amp: str, product: Path) -> State:
    """Return what a product says of an amplifier."""
    if "" in said:
        return said[""]
    return said.get(amp) or (FAILED, f"{product} does not have it; remove it and run again")


def _lacking(product: Path) -> State:
    return FAILED, f"{product} is not there: its job has failed, or has not been run"


def _guarded(read: Callable[[Path], dict[str, State]]) -> Callable[[Path], dict[str, State]]:
    """Return a reader that says so, under an empty name, where a product is not there or cannot be read."""

    def guarded(product: Path) -> dict[str, State]:
        if not product.is_file():
            return {"": _lacking(product)}
        try:
            return read(product)
        except (MalformedFile, OSError, ValueError, KeyError) as error:
            return {"": (FAILED, f"{product} cannot be read ({error}); remove it and run again")}

    return guarded


@_guarded
def of_amps(product: Path) -> dict[str, State]:
    """Return what a product by amplifier says of each."""
    with amp_file.AmpFile(product) as file:
        return {amp: _well(state, reason) for amp, (state, reason) in file.states.items()}


@_guarded
def of_amps_csv(product: Path) -> dict[str, State]:
    """Return what ``amps.csv`` says of each amplifier."""
    with product.open(newline="", encoding="utf-8") as stream:
        return {cells["amp"]: _well(cells["state"], cells["reason"]) for cells in csv.DictReader(stream)}


@_guarded
def of_pairings(product: Path) -> dict[str, State]:
    """Return what the comparison of a month says, by pairing and amplifier."""
    table = fitsio.read(str(product), ext=amp_file.TABLE)
    columns = [[amp_file.text(value) for value in table[name]] for name in ("ifu", "amp", "state", "reason")]
    return {f"{ifu} {amp}": _well(state, reason) for ifu, amp, state, reason in zip(*columns, strict=True)}


@_guarded
def of_exposure(product: Path) -> dict[str, State]:
    """Return what the sky of an exposure says, under an empty name."""
    failed = amp_file.text(fitsio.read_header(str(product), ext="SKY").get("FAILED", ""))
    return {"": (FAILED, failed) if failed else WELL}


@_guarded
def of_shot(product: Path) -> dict[str, State]:
    """Return what the file of a shot says, under an empty name."""
    with h5py.File(product, "r") as file:
        failed = amp_file.text(file.attrs.get("failed", ""))
    return {"": (FAILED, failed) if failed else WELL}


@_guarded
def of_cubes(product: Path) -> dict[str, State]:
    """Return what ``cubes.csv`` of a shot says, by pairing."""
    with product.open(newline="", encoding="utf-8") as stream:
        return {cells["ifu"]: _well(cells["state"], cells["reason"]) for cells in csv.DictReader(stream)}


@_guarded
def of_reports(product: Path) -> dict[str, State]:
    """Return what the list of a shot's reports says, under an empty name: failed, if one of them has."""
    outcomes = read_list(product)
    failed = [(detectid, one.reason) for detectid, one in outcomes.items() if one.state == FAILED]
    if not failed:
        return {"": WELL}
    first = f"{failed[0][0]}: {failed[0][1]}"
    return {"": (FAILED, f"{len(failed)} of {counted(len(outcomes), 'report')} failed, the first of them {first}")}


def of_merged(product: Path) -> dict[str, State]:
    """Return whether a file that others are merged into is there, under an empty name."""
    return {"": WELL if product.is_file() else _lacking(product)}


def _well(state: str, reason: str) -> State:
    return WELL if state == DONE else (LEFT_OUT if state == LEFT_OUT else FAILED, reason)
