# Configuration, names and paths for every rule; the only file that reads the config. No rules here.
import shlex
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

sys.path.insert(0, str(Path(workflow.basedir, "scripts")))

from skyharvest.config import digest, validate
from skyharvest.csvpath import check_csv_exists
from skyharvest.errors import InputError
from skyharvest.archive import is_url
from skyharvest.planned import read_plan
from skyharvest.releases import load_release

DEMO = "resources/demo"

try:
    config = validate(config)
    RELEASE = load_release(config["desi"]["release"])
    ARCHIVE = RELEASE.root(config["desi"]["archive"])
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
SERVER_NOTES = shlex.quote(f"{LOGS}/servers.json")
OVER_NETWORK = is_url(ARCHIVE)
EXTRACT_FROM = RESOURCES if config["desi"]["transfer"] == "files" else ARCHIVE


def shown(path):
    """Return a path as short as it can be from the working directory, quoted for a shell."""
    path = Path(path)
    here = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
    return shlex.quote(str(here))


# At most so many open connections, over all jobs together; --resources archive=N on the command line wins.
if "archive" not in workflow.global_resources:
    workflow.register_resource("archive", config["connections"])

# One after the other on this machine's cores, jobs share the connections out; on a cluster many jobs have one each.
PARALLEL_JOBS = workflow.resource_settings.nodes or workflow.resource_settings.cores or 1
CONNECTIONS_PER_JOB = max(1, config["connections"] // PARALLEL_JOBS) if OVER_NETWORK else 0

# Jobs run in this process's environment, or in the one that `--software-deployment-method conda` makes.
IN_CONDA = any(method.name == "CONDA" for method in workflow.deployment_settings.deployment_method)
RUN = f"{'python' if IN_CONDA else shown(sys.executable)} {shown(Path(workflow.basedir, 'scripts'))}"


def flags(**switches):
    """Return the command-line switches that are on, such as no_lsf=True → --no-lsf."""
    return " ".join(f"--{name.replace('_', '-')}" for name, on in switches.items() if on)


def asked_for():
    """Return the files that the config asks for."""
    return rules.account_desi.output if config["desi"]["enabled"] else rules.prepare_targets.output


def planned(_wildcards=None):
    """Return the plan, which is known once the checkpoint has run."""
    return read_plan(checkpoints.plan_desi.get().output.plan)


def extracted_file(pix64):
    """Return the extracted file of an NSIDE=64 pixel."""
    return f"{EXTRACTED}/{pix64 // 100}/{pix64}.hdf5"


def crossmatch_file(pix16):
    """Return the assembled file of an NSIDE=16 pixel."""
    return f"{CROSSMATCHES}/healpix={pix16}/crossmatch_desi.hdf5"


def coadd_options(wildcards):
    """Return the --coadd options of a pixel's extract job: paths relative to the archive."""
    pix64 = int(wildcards.pix64)
    return [f"--coadd {RELEASE.coadd(*kind, pix64)}" for kind in planned().coadds[pix64]]


def downloads(wildcards):
    """Return what must be downloaded first: with `transfer: files` the pixel's coadds and redrock files."""
    pix64 = int(wildcards.pix64)
    if config["desi"]["transfer"] == "rows":
        return []
    paths = (RELEASE.coadd, RELEASE.redrock)
    return [f"{RESOURCES}/{path(*kind, pix64)}" for kind in planned().coadds[pix64] for path in paths]


def extracted_of(wildcards):
    """Return the extracted files that an NSIDE=16 pixel is assembled from."""
    return [extracted_file(pix64) for pix64 in planned().searched[int(wildcards.pix16)]]


def all_extracted(_wildcards):
    """Return the extracted files of the whole plan."""
    return [extracted_file(pix64) for pix64 in planned().coadds]


def all_crossmatches(_wildcards):
    """Return the assembled files of the whole plan."""
    return [crossmatch_file(pix16) for pix16 in planned().searched]


def release_path(kind):
    """Return a path of the release, below its local copy, with Snakemake's wildcards in it."""
    path = RELEASE.paths[kind].format(
        specprod=RELEASE.specprod,
        survey="{survey}",
        program="{program}",
        group="{pix64_group}",
        pix="{pix64}",
    )
    return f"{RESOURCES}/{path}"
