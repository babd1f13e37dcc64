"""Tables of detections, as HETDEX's own files have them: their columns in the order of PyTables.

A file has ``/Detections``, a row each; ``/Spectra``, one for each of them; and ``/Fibers``, those that a detection's
spectrum is made of, by detectid. All are sorted by detectid. What is not known is NaN, -1 or no text.
"""

from skyharvest.reduction.hetdex.shots.shot_tables import columns_of

DETECTIONS = columns_of(
    """detectid i8, shotid i8, ra f4, dec f4, date i4, obsid i4, wave f4, wave_err f4, flux f4, flux_err f4, linewidth
    f4, linewidth_err f4, continuum f4, continuum_err f4, sn f4, sn_err f4, chi2 f4, chi2_err f4, multiframe S20, fibnum
    i4, x_raw i4, y_raw i4, amp S2, apcor f4, chi2fib f4, expnum i4, fiber_id S38, flux_noise_1sigma f4, ifuid S3,
    ifuslot S3, inputid S40, mc_file S32, mc_file_idx i4, noise_ratio f4, sn_3fib f4, sn_3fib_cen f4, sn_cen f4, specid
    S3, weight f4, x_ifu f4, y_ifu f4"""
)
SPECTRA = columns_of(
    """detectid i8, wave1d f4*1036, spec1d f4*1036, spec1d_err f4*1036, counts1d f4*1036, counts1d_err f4*1036,
    apsum_counts f4*1036, apsum_counts_err f4*1036, apcor f4*1036, flag_pix f4*1036, spec1d_ffsky f4*1036, spec1d_nc
    f4*1036, spec1d_nc_err f4*1036"""
)
FIBERS = columns_of(
    """detectid i8, ra f4, dec f4, multiframe S20, fiber_id S38, x_ifu f4, y_ifu f4, date i4, obsid i4, expnum i4,
    distance f4, timestamp S17, wavein f4, flag i4, weight f4, ADC f4*5, amp S2, fibnum i4, ifuid S3, ifuslot S3, specid
    S3, x_raw i4, y_raw i4"""
)
TABLES = {"Detections": DETECTIONS, "Spectra": SPECTRA, "Fibers": FIBERS}
CHUNKS = {"Detections": None, "Spectra": 1, "Fibers": None}
"""Rows of a chunk (None: about 1 MB): a spectrum is read alone, and files are merged without unpacking them."""
UNITS = (
    "flux: 1e-17 erg/s/cm2; continuum: 1e-17 erg/s/cm2/A; wave, linewidth (sigma): A, air; spec1d, spec1d_nc, "
    "spec1d_ffsky: 1e-17 erg/s/cm2 in 2 A; counts1d, apsum_counts: electrons in 2 A of a mean fiber"
)
