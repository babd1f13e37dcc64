# Configuration, names and paths for every rule; the only file that reads the config. No rules here.
import json
import shlex
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

sys.path.insert(0, str(Path(workflow.basedir, "scripts")))

from skyharvest.config.load import digest, validate
from skyharvest.config.check import FROM_CATALOGUE
from skyharvest.core.csv_file import has_rows, has_value
from skyharvest.targets.csv_path import check_csv_exists, content_digest
from skyharvest.core.errors import InputError
from skyharvest.archive.archive import is_url
from skyharvest.harvest.plan import by_fibers, extracted_path, read_bricks, read_cubes, read_plan, to_read_again
from skyharvest.surveys.desi.release import GLOBUS as BY_GLOBUS, load_release
from skyharvest.surveys.hetdex.release import load_release as load_hetdex_release
from skyharvest.surveys.legacysurvey.release import load_release as load_legacy_release
from skyharvest.report.names import TITLES, figures
from skyharvest.harvest.demo import DEMO
from skyharvest.surveys import SURVEYS, releases

DESI, HETDEX, LEGACYSURVEY = SURVEYS.values()

try:
    config = validate(config)
    RELEASE = load_release(config["desi"]["release"])
    CUBES = load_hetdex_release(config["hetdex"]["release"])
    CUBE_ARCHIVE = CUBES.root(config["hetdex"]["archive"])
    BRICKS = load_legacy_release(config["legacysurvey"]["release"])
    BRICK_ARCHIVE = BRICKS.root(config["legacysurvey"]["archive"])
    GLOBUS = config["desi"]["globus"]
    COPY_FIRST = config["desi"]["archive"] == BY_GLOBUS
    ARCHIVE = GLOBUS["local"] if COPY_FIRST else RELEASE.root(config["desi"]["archive"])
    if not config["targets"]["csv"].startswith(f"{DEMO}/"):
        check_csv_exists(config["targets"]["csv"])
except InputError as error:
    raise WorkflowError(str(error)) from None

CONFIG_HASH = digest(config)
RESULTS = config["results"]
RESOURCES = f"resources/desi/{RELEASE.name}"
LOGS = f"{RESULTS}/logs"
EXTRACTED = f"{RESULTS}/desi/extracted"
CROSSMATCHES = f"{RESULTS}/desi_crossmatches"
HETDEX_RESOURCES = f"resources/hetdex/{CUBES.name}"
HETDEX_EXTRACTED = f"{RESULTS}/hetdex/extracted"
HETDEX_CROSSMATCHES = f"{RESULTS}/hetdex_crossmatches"
BRICK_RESOURCES = f"resources/legacysurvey/{BRICKS.name}"
BRICK_EXTRACTED = f"{RESULTS}/legacysurvey/extracted"
BRICK_CROSSMATCHES = f"{RESULTS}/legacysurvey_crossmatches"
SERVER_NOTES = shlex.quote(f"{LOGS}/servers.json")
OVER_NETWORK = is_url(ARCHIVE)
# What Globus copies is planned first: from the release's list, which is read elsewhere.
LIST_ARCHIVE = RELEASE.list_root(ARCHIVE) if COPY_FIRST else ARCHIVE
COPIED = [f"{RESULTS}/desi/globus_transfer.csv"] if COPY_FIRST else []
# Whole coadds are on disk while their pixel is extracted: at most so much for each job that runs at once.
DOWNLOAD = f"--download {shlex.quote(f'{RESULTS}/desi/downloads')}" if config["desi"]["transfer"] == "files" else ""
DISK_MB = 1100 * len(config["desi"]["surveys"]) * len(config["desi"]["programs"]) if DOWNLOAD else 0


def shown(path):
    """Return a path as short as it can be from the working directory, quoted for a shell."""
    path = Path(path)
    here = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
    return shlex.quote(str(here))


# At most so many open connections, over all jobs together; --resources archive=N on the command line wins.
for name, limit in (
    ("archive", config["connections"]),
    ("cubes", CUBES.connections(config["connections"])),
    ("bricks", config["connections"]),
):
    if name not in workflow.global_resources:
        workflow.register_resource(name, limit)

# On this machine's cores jobs share the connections out; on a cluster many jobs have one each.
ON_A_CLUSTER = workflow.resource_settings.nodes is not None or not workflow.is_main_process
PARALLEL_JOBS = config["connections"] if ON_A_CLUSTER else workflow.resource_settings.cores or 1
CONNECTIONS_PER_JOB = max(1, config["connections"] // PARALLEL_JOBS) if OVER_NETWORK else 0
BRICK_CONNECTIONS_PER_JOB = max(1, config["connections"] // PARALLEL_JOBS) if is_url(BRICK_ARCHIVE) else 0

# Jobs run in this process's environment, or in the one that `--software-deployment-method conda` makes.
IN_CONDA = any(method.name == "CONDA" for method in workflow.deployment_settings.deployment_method)
RUN = f"{'python' if IN_CONDA else shown(sys.executable)} {shown(Path(workflow.basedir, 'scripts'))}"


def flags(**switches):
    """Return the command-line switches that are on, such as no_lsf=True → --no-lsf."""
    return " ".join(f"--{name.replace('_', '-')}" for name, on in switches.items() if on)


EXTRACT_OPTIONS = " ".join(
    [
        f"--radius {config['match']['radius_arcsec']} --report-radius {config['match']['report_radius_arcsec']}",
        "--record-missing",
        flags(
            no_resolution=not config["desi"]["spectra"]["lsf"],
            no_redshifts=not config["desi"]["spectra"]["redshifts"],
        ),
    ]
).strip()


MAPS = config["hetdex"]["maps"]
MAPS_AS_FITS = (
    {"maps": directory(f"{HETDEX_CROSSMATCHES}/healpix={{pix16}}/maps")} if MAPS["enabled"] and MAPS["fits"] else {}
)
DETECTIONS = config["hetdex"]["detections"]
DETECTIDS = (
    f"{RESULTS}/hetdex/catalogue.hdf5"
    if DETECTIONS["detectids"] == FROM_CATALOGUE
    else DETECTIONS["detectids"] or f"{RESULTS}/hetdex/detectids.csv"
)
HETDEX_OPTIONS = " ".join(
    [
        f"--radius {config['hetdex']['aperture_radius_arcsec']} --min-coverage {config['hetdex']['min_coverage']}",
        *(
            f"--{key.replace('_', '-')} {' '.join(map(str, [bits] if isinstance(bits, str) else bits))}".strip()
            for key in ("exclude_bits", "keep_bits", "include_only_bits")
            for bits in [config["hetdex"][key]]
        ),
        f"--optimal {config['hetdex']['optimal']}" if config["hetdex"]["optimal"] else "",
        f"--map-size {MAPS['size_arcsec']} --map-half-width {MAPS['half_width']}" if MAPS["enabled"] else "",
    ]
).strip()


# What an earlier run recorded is not final, and neither is what an archive says that has lost everything.
CAUTION = f"--again {' '.join(config['desi']['read_again'])}"
if not COPY_FIRST:
    CAUTION += f" --known {shlex.quote(RELEASE.tilepix())}"


def asked_for(_wildcards=None):
    """Return the files that the config asks for; a report that has been made is kept up to date.

    None of them may be one that only a plan tells: while one checkpoint is awaited, Snakemake starts jobs that await
    another without what that adds to their input.
    """
    ledgers = [f"{RESULTS}/{survey}/{name}" for survey in releases(config) for name in ("ledger.csv", "summary.json")]
    if not ledgers:
        return rules.prepare_targets.output
    kept = rules.write_report.output if Path(REPORT, "index.html").exists() else []
    return [*ledgers, *hetdex_products(), *viewer_pictures(), *kept]


def planned(_wildcards=None):
    """Return the plan, which is known once the checkpoint has run."""
    return read_plan(checkpoints.plan_desi.get().output.plan)


def extracted_file(pix64):
    """Return the extracted file of an NSIDE=64 pixel."""
    return str(extracted_path(Path(EXTRACTED), pix64))


def crossmatch_file(pix16):
    """Return the assembled file of an NSIDE=16 pixel."""
    return str(DESI.crossmatch(Path(CROSSMATCHES), pix16))


def pixels_of(wildcards):
    """Return the pixels that an extract job reads, or an assemble job needs."""
    if "batch" in wildcards.keys():
        return planned().batches[wildcards.batch]
    if "pix16" in wildcards.keys():
        return planned().searched[int(wildcards.pix16)]
    return [int(wildcards.pix64)]


def pixel_options(wildcards):
    """Return the --pixel options of an extract job."""
    return [
        f"--pixel {pix64} " + " ".join(f"{survey}/{program}" for survey, program in planned().files[pix64])
        for pix64 in pixels_of(wildcards)
    ]


def n_targets(wildcards):
    """Return the number of targets that a job looks for, pixel by pixel."""
    return [planned().n_targets[pix64] for pix64 in pixels_of(wildcards)]


def extract_minutes(wildcards):
    """Return how long an extract job may take: its pixels at a slow hour of the archive."""
    return 20 + sum(n_targets(wildcards)) // 10 + (30 if DOWNLOAD else 2) * len(pixels_of(wildcards))


def extraction_of(pixels, product, survey=DESI):
    """Return the files that tell that pixels, or bricks, have been extracted, for a product that is made from them.

    That is their batches' lists. A file that was removed from a finished batch, and is needed once more, is made by
    itself. Batches with a coadd that is to be tried again are forced, as `--forcerun` does: that leaves no trace in
    Snakemake's records, so that nothing is to be done once they are well.
    """
    extracted, plan = (EXTRACTED, planned()) if survey is DESI else (BRICK_EXTRACTED, planned_bricks())
    files = {pix64: str(survey.path(Path(extracted), pix64)) for pix64 in pixels}
    lists = {pix64: str(survey.listed(Path(extracted), plan.batch[pix64])) for pix64 in pixels}
    removed = []
    if not Path(product).exists():
        removed = [file for pix64, file in files.items() if Path(lists[pix64]).exists() and not Path(file).exists()]
    if workflow.is_main_process:
        again = tuple(config[survey.name]["read_again"])
        workflow.dag.forcefiles.update(path for path in set(lists.values()) if to_read_again(path, again))
    return [*dict.fromkeys(lists.values()), *removed]


def extracted_of(wildcards):
    """Return the extracted files that an NSIDE=16 pixel is assembled from."""
    return [extracted_file(pix64) for pix64 in pixels_of(wildcards)]


def all_crossmatches(_wildcards):
    """Return the assembled files of the whole plan."""
    return [crossmatch_file(pix16) for pix16 in planned().searched]


def planned_cubes(_wildcards=None):
    """Return HETDEX's plan, which is known once the checkpoint has run."""
    return read_cubes(checkpoints.plan_hetdex.get().output.plan)


def cube_of(wildcards):
    """Return the name of a job's cube."""
    return f"{wildcards.shotid}_{wildcards.ifuslot}"


def lists_of_cubes(cubes):
    """Return the lists that stand for the extracted files of cubes; those that are to be tried again are forced."""
    lists = [str(HETDEX.listed(Path(HETDEX_EXTRACTED), cube)) for cube in cubes]
    if workflow.is_main_process:
        again = tuple(config["hetdex"]["read_again"])
        workflow.dag.forcefiles.update(path for path in lists if to_read_again(path, again))
    return lists


def cubes_of(wildcards):
    """Return the extracted files that an NSIDE=16 pixel is assembled from."""
    cubes = planned_cubes().searched[int(wildcards.pix16)]
    return [str(HETDEX.path(Path(HETDEX_EXTRACTED), cube)) for cube in cubes]


def hetdex_products(_wildcards=None):
    """Return what the config asks for of HETDEX's own products. Pictures that were missing are asked for once more."""
    if not config["hetdex"]["enabled"]:
        return []
    addresses, missing_pictures = (f"{RESULTS}/hetdex/elixer/elixer_{name}.csv" for name in ("addresses", "missing"))
    if workflow.is_main_process and DETECTIONS["pictures"] == "files" and has_rows(missing_pictures):
        workflow.dag.forcefiles.add(addresses)
    return [
        *([f"{RESULTS}/hetdex/catalogue.hdf5"] if config["hetdex"]["catalogue"]["enabled"] else []),
        *([f"{RESULTS}/hetdex/detections.hdf5"] if DETECTIONS["detectids"] else []),
        *([addresses] if DETECTIONS["pictures"] else []),
    ]


def hetdex_crossmatch(pix16):
    """Return the assembled HETDEX file of an NSIDE=16 pixel."""
    return str(HETDEX.crossmatch(Path(HETDEX_CROSSMATCHES), pix16))


BRICK_OPTIONS = (
    f"--size {config['legacysurvey']['size']} --bands {' '.join(config['legacysurvey']['bands'])} "
    f"--products {' '.join(config['legacysurvey']['products'])}"
)
BRICK_CAUTION = (
    f"--again {' '.join(config['legacysurvey']['read_again'])} --known {shlex.quote(BRICKS.bricks(BRICKS.regions[0]))}"
)
BRICK_FILES = len(config["legacysurvey"]["bands"]) * len(config["legacysurvey"]["products"])
CUTOUT_MB = 4e-6 * config["legacysurvey"]["size"] ** 2 * BRICK_FILES
BRICK_DOWNLOAD = (
    f"--download {shlex.quote(f'{RESULTS}/legacysurvey/downloads')}"
    if config["legacysurvey"]["transfer"] == "files"
    else ""
)
BRICK_DISK_MB = 60 * BRICK_FILES if BRICK_DOWNLOAD else 0  # a brick and three neighbours
CONTACT_SHEET = (
    {"sheet": f"{BRICK_CROSSMATCHES}/healpix={{pix16}}/contact_sheet.png"}
    if config["legacysurvey"]["contact_sheets"]
    else {}
)
VIEWER = config["legacysurvey"]["viewer"]
VIEWER_OPTIONS = " ".join(
    [
        *(
            f"--{key.replace('_', '-')} {shlex.join(map(str, value if isinstance(value, list) else [value]))}"
            for key, value in VIEWER.items()
            if key not in ("address", "subimage") and value not in (None, [])
        ),
        f"--viewer {shlex.quote(VIEWER['address'])}",
        flags(subimage=VIEWER["subimage"]),
    ]
).strip()


def planned_bricks(_wildcards=None):
    """Return the plan of the Legacy Surveys, which is known once the checkpoint has run."""
    return read_bricks(checkpoints.plan_legacysurvey.get().output.plan)


def bricks_of(wildcards):
    """Return the bricks that an extract job reads, or an assemble job needs."""
    if "batch" in wildcards.keys():
        return planned_bricks().batches[wildcards.batch]
    if "pix16" in wildcards.keys():
        return planned_bricks().searched[int(wildcards.pix16)]
    return [wildcards.brick]


def n_cutouts(wildcards):
    """Return the number of cutouts in the bricks of a job."""
    return sum(planned_bricks().n_targets[brick] for brick in bricks_of(wildcards))


def brick_mb(wildcards):
    """Return the memory of an extract job: what is cut out of its largest brick, up to what is held at once."""
    most = max(planned_bricks().n_targets[brick] for brick in bricks_of(wildcards))
    return 800 + int(3 * max(CUTOUT_MB, min(540, most * CUTOUT_MB)))


def brick_minutes(wildcards):
    """Return how long an extract job may take: its bricks at a slow hour of the archive."""
    return 20 + n_cutouts(wildcards) // 20 + (20 if BRICK_DOWNLOAD else 1) * len(bricks_of(wildcards))


def legacysurvey_crossmatch(pix16):
    """Return the assembled file of the images of an NSIDE=16 pixel."""
    return str(LEGACYSURVEY.crossmatch(Path(BRICK_CROSSMATCHES), pix16))


def viewer_pictures(_wildcards=None):
    """Return the list of the viewer's pictures, if the config asks for any. What went wrong is asked for once more."""
    if not config["legacysurvey"]["enabled"] or not (VIEWER["layers"] or VIEWER["psf_layers"]):
        return []
    path = f"{RESULTS}/legacysurvey/viewer/viewer.csv"
    if workflow.is_main_process and has_value(path, "status", "error"):
        workflow.dag.forcefiles.add(path)
    return [path]


REPORT = f"{RESULTS}/report"
ON = [survey for survey in SURVEYS if config[survey]["enabled"]]


def annotated_figures():
    """Return the report's figures by name, marked for Snakemake's own report."""
    return {
        f"{survey}_{kind}": report(
            f"{REPORT}/figures/{survey}_{kind}.svg",
            caption=f"../report/{kind}.rst",
            category=SURVEYS[survey].title if survey in SURVEYS else "Run",
            labels={"figure": TITLES[kind]},
        )
        for survey, kind in figures(ON)
    }


def of_same_pixel(wildcards):
    """Return the files of a pixel that its page shows, by their options' names."""
    pix16 = int(wildcards.pix16)
    made = {}
    if config["desi"]["enabled"] and pix16 in planned().searched:
        made["desi"] = crossmatch_file(pix16)
    if config["hetdex"]["enabled"] and pix16 in planned_cubes().searched:
        made["hetdex"] = hetdex_crossmatch(pix16)
    if config["legacysurvey"]["enabled"] and pix16 in planned_bricks().searched:
        made["legacysurvey"] = legacysurvey_crossmatch(pix16)
    return made


def all_pages(_wildcards):
    """Return the pages of all pixels where a survey of spectra was searched."""
    plans = {"desi": planned, "hetdex": planned_cubes}
    pixels = {pix16 for survey, plan in plans.items() if config[survey]["enabled"] for pix16 in plan().searched}
    if not any(config[survey]["enabled"] for survey in plans):
        raise WorkflowError(
            "`browse` makes pages of spectra: set `desi: enabled: true`, `hetdex: enabled: true`, or both"
        )
    # Before there are jobs that ask for this plan: Snakemake would start them without what it adds.
    if config["legacysurvey"]["enabled"]:
        planned_bricks()
    return [f"{REPORT}/healpix={pix16}.html" for pix16 in sorted(pixels)]
