"""Extract an image with gpu_specter on the CPU, as `desi_extract_spectra --no-gpu` does.

Arguments: the directory of the package, image, PSF, file to write, first and last Å.
"""

import sys

import numpy as np
from desispec.io import read_image
from desispec.maskbits import extractmaskval

package, image, psf, out, first, last = sys.argv[1:]
sys.path.insert(0, package)

import gpu_specter.core
import gpu_specter.io

read = read_image(image)
frame = gpu_specter.core.extract_frame(
    {"image": read.pix, "ivar": read.ivar * ((read.mask & extractmaskval) == 0)},
    gpu_specter.io.read_psf(psf),
    25,
    0,
    25,
    (float(first), float(last), 0.8),
    nwavestep=50,
    nsubbundles=5,
    gpu=False,
    wavepad_frac=0.2,
    pixpad_frac=0.8,
)
np.savez(out, flux=frame["specflux"], ivar=frame["specivar"])
