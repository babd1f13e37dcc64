"""The templates that redrock fits: are they all there, and of the versions that are current?

Redrock takes what its directory has, and fits a galaxy without its template as a quasar, at a wrong redshift and with
ZWARN 0. The directory is ``RR_TEMPLATE_DIR``, a copy of https://github.com/desihub/redrock-templates; which files of
it are used stands in ``templates-default.txt``, or are all of them where that is absent (redrock 0.21,
`redrock.templates.find_templates`).
"""

import hashlib
import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import fitsio
import numpy as np

from skyharvest.core.atomic import atomic_path
from skyharvest.core.errors import InputError

log = logging.getLogger(__name__)

LIST = "templates-default.txt"
NEEDED = ("GALAXY", "QSO", "STAR")
"""Types that a set of any version has."""
SIMULATED = "skyharvest-simulated"
"""The card VERSION of templates that were made with a simulated night; redrock copies it to TEMVERnn of its results."""
CURRENT = "0.10.0"
"""Tag of redrock-templates: what DESI's productions matterhorn and nevis are made with."""
FILES = {
    "GALAXY": ("2.6", "4c0ec15ad09c54b1d5e42e355fb655bf4e6d30c0"),
    "QSO:::LOZ": ("1.1", "ac2577d05abd85091defd7ebb72f86e6b51b0e71"),
    "QSO:::HIZ": ("1.1", "4f1d85128fb40983cc70e27bd69550a235b343b6"),
    "STAR:::A": ("0.1", "07ed6d5710c1a8a464104d2d3cf9707ef8fb7a74"),
    "STAR:::B": ("0.1", "35bd1f39ac82bfc63037e55c74005f956f596c36"),
    "STAR:::CV": ("0.1", "9e9b2ff4377c849cffe3ae6ce728c2c86710aaf5"),
    "STAR:::F": ("0.1", "c9cc23391d89da46d79d20b25d48ac5c66db8df3"),
    "STAR:::G": ("0.1", "b12237d3840d10158ba3db66bdfd428895d14d8b"),
    "STAR:::K": ("0.1", "2055a97cd27e358e47557c4a73a410201297866a"),
    "STAR:::M": ("0.1", "eecf192a199985899c2591933d4fe633b547fd21"),
    "STAR:::WD": ("0.1", "44672ec20227948adb45bf067edd9220d3c2b99d"),
}
"""Type of that tag's templates → version, and Git's id of the file's content (`git ls-tree 0.10.0`)."""


@dataclass(frozen=True)
class Template:
    """A file of templates.

    Attributes
    ----------
    file
        Its name.
    type
        As redrock writes it in TEMNAMnn: ``GALAXY``, ``QSO:::LOZ``, ``STAR:::WD``.
    version
        Its card VERSION, as in TEMVERnn; ``unknown`` where it has none.
    sha256
        Of the file.
    """

    file: str
    type: str
    version: str
    sha256: str


@dataclass(frozen=True)
class TemplateSet:
    """What redrock will fit.

    Attributes
    ----------
    set
        `CURRENT`, ``simulated``, or ``other``.
    templates
        In redrock's order.
    """

    set: str
    templates: tuple[Template, ...]


def check_templates(directory: Path, *, any_version: bool = False) -> TemplateSet:
    """Return the templates that redrock will take from a directory.

    A set is good that is whole and that of `CURRENT` to the last byte, or one that was made with a simulated night and
    says so.

    Parameters
    ----------
    any_version
        Take a set of other versions, too: one that an earlier production was made with, or a newer one.

    Raises
    ------
    InputError
        If it is not such a set; lists every file that is wrong, what was found, what was expected, and how to get it.
    """
    problems: list[str] = []
    ids: dict[Template, str] = {}  # Git's
    for path in _paths(directory, problems):
        try:
            found, git = _read(path)
        except (OSError, ValueError, KeyError) as error:
            problems.append(f"{path} cannot be read: {error}")
        else:
            ids[found] = git
    if ids:
        problems += _wrong_together(directory, ids)
        if SIMULATED in {each.version for each in ids} or any_version:
            problems += _incomplete(directory, ids)
        else:
            problems += _not_current(directory, ids)
    elif not problems:
        problems.append(f"{directory / LIST} names no file")
    if problems:
        raise InputError("\n".join([f"{directory} is not a set of redrock's templates:", *problems, _advice()]))
    if all(each.version == SIMULATED for each in ids):
        log.warning("%s: simulated templates; what is fitted with them says nothing about the sky", directory)
        name = "simulated"
    else:
        name = "other" if any(_not_current(directory, ids)) else CURRENT
    return TemplateSet(name, tuple(ids))


def _paths(directory: Path, problems: list[str]) -> Iterator[Path]:
    """Yield the files that redrock takes, as `redrock.templates.find_templates` does."""
    if not directory.is_dir():
        problems.append(f"there is no directory {directory}")
        return
    listed = directory / LIST
    if not listed.exists():
        paths = sorted(directory.glob("rrtemplate-*.fits"))
        if not paths:
            problems.append(f"{directory} has neither {LIST} nor rrtemplate-….fits")
        yield from paths
        return
    for line in listed.read_text(encoding="utf-8", errors="replace").splitlines():
        if len(line.strip()) < 2 or line.strip().startswith("#"):
            continue
        path = directory / line.split()[0]
        if path.exists():
            yield path
        else:
            problems.append(f"{path} is absent, and {listed} names it")


def _read(path: Path) -> tuple[Template, str]:
    """Return a template, and Git's id of the file."""
    content = path.read_bytes()
    with fitsio.FITS(str(path)) as file:
        hdu = file["BASIS_VECTORS"]
        header = hdu.read_header()
        if not np.isfinite(hdu.read()).all():
            raise ValueError("BASIS_VECTORS has values that are not finite")
    kind, subtype = (str(header.get(card) or "").strip().upper() for card in ("RRTYPE", "RRSUBTYP"))
    if not kind:
        raise ValueError("BASIS_VECTORS has no card RRTYPE")
    version = str(header.get("VERSION", "unknown")).strip()
    git = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
    full = f"{kind}:::{subtype}" if subtype else kind
    return Template(path.name, full, version, hashlib.sha256(content).hexdigest()), git


def _wrong_together(directory: Path, templates: Iterable[Template]) -> Iterator[str]:
    """Yield what no set may have: two of a type, simulated ones among others."""
    types = [each.type for each in templates]
    for each in templates:
        if types.count(each.type) > 1:
            yield f"{directory / each.file} is one of several of {each.type}, expected one"
    made_up = [each.file for each in templates if each.version == SIMULATED]
    if 0 < len(made_up) < len(types):
        yield f"{directory}: {', '.join(made_up)} are simulated, and the others are not"


def _incomplete(directory: Path, templates: Iterable[Template]) -> Iterator[str]:
    """Yield what every set has and this one has not."""
    there = {each.type.partition(":::")[0] for each in templates}
    for kind in NEEDED:
        if kind not in there:
            yield f"{directory} has no template of {kind}"


def _not_current(directory: Path, ids: Mapping[Template, str]) -> Iterator[str]:
    """Yield how templates differ from the current ones; ``ids`` are Git's."""
    for each, git in ids.items():
        path = directory / each.file
        if each.type not in FILES:
            yield f"{path} is of {each.type}, version {each.version}, which {CURRENT} does not have"
        elif each.version != FILES[each.type][0]:
            yield f"{path} is {each.type} of version {each.version}, expected {_name(each.type)}"
        elif git != FILES[each.type][1]:
            yield f"{path} says that it is {_name(each.type)}, but its content is another: torn, or edited"
    for kind in FILES:
        if kind not in {each.type for each in ids}:
            yield f"{directory} has no template of {kind}, expected {_name(kind)}"


def _name(kind: str) -> str:
    """Return the name of a current file."""
    main, _, subtype = kind.partition(":::")
    return f"rrtemplate-{main}-{subtype or 'None'}-v{FILES[kind][0]}.fits"


def _advice() -> str:
    return (
        f"Expected: release {CURRENT} of github.com/desihub/redrock-templates. To get it where there is a network: "
        f"`install_redrock_templates --version {CURRENT} --outdir NEW_DIRECTORY` (a program of redrock), and give "
        "NEW_DIRECTORY as the templates. Other versions are taken only where the configuration says so (any_version)"
    )


def write_templates(out: Path, found: TemplateSet) -> None:
    """Write a set as JSON, which is the same for the same templates; the file appears whole.

    ``{"set": "0.10.0", "templates": [{"file", "type", "version", "sha256"}, …]}``
    """
    with atomic_path(out) as temporary:
        temporary.write_text(json.dumps(asdict(found), indent=2) + "\n", encoding="utf-8")
