"""The columns of DR1's tables, and their units."""

from skyharvest.simulate.fits_write import columns

FIBERMAP = columns("""
    TARGETID:i8 COADD_FIBERSTATUS:i4 TARGET_RA:f8:deg TARGET_DEC:f8:deg PMRA:f4:mas~yr^-1 PMDEC:f4:mas~yr^-1
    REF_EPOCH:f4:yr FA_TARGET:i8 FA_TYPE:u1 OBJTYPE:S3 SUBPRIORITY:f8 OBSCONDITIONS:i4 RELEASE:i2 BRICKNAME:S8
    BRICKID:i4 BRICK_OBJID:i4 MORPHTYPE:S4 EBV:f4:mag FLUX_G:f4:nanomaggy FLUX_R:f4:nanomaggy FLUX_Z:f4:nanomaggy
    FLUX_W1:f4:nanomaggy FLUX_W2:f4:nanomaggy FLUX_IVAR_G:f4:nanomaggy^-2 FLUX_IVAR_R:f4:nanomaggy^-2
    FLUX_IVAR_Z:f4:nanomaggy^-2 FLUX_IVAR_W1:f4:nanomaggy^-2 FLUX_IVAR_W2:f4:nanomaggy^-2 FIBERFLUX_G:f4:nanomaggy
    FIBERFLUX_R:f4:nanomaggy FIBERFLUX_Z:f4:nanomaggy FIBERTOTFLUX_G:f4:nanomaggy FIBERTOTFLUX_R:f4:nanomaggy
    FIBERTOTFLUX_Z:f4:nanomaggy MASKBITS:i2 SERSIC:f4 SHAPE_R:f4:arcsec SHAPE_E1:f4 SHAPE_E2:f4 REF_ID:i8 REF_CAT:S2
    GAIA_PHOT_G_MEAN_MAG:f4:mag GAIA_PHOT_BP_MEAN_MAG:f4:mag GAIA_PHOT_RP_MEAN_MAG:f4:mag PARALLAX:f4:mas PHOTSYS:S1
    PRIORITY_INIT:i8 NUMOBS_INIT:i8 DESI_TARGET:i8 BGS_TARGET:i8 MWS_TARGET:i8 SCND_TARGET:i8 PLATE_RA:f8:deg
    PLATE_DEC:f8:deg COADD_NUMEXP:i2 COADD_EXPTIME:f4:s COADD_NUMNIGHT:i2 COADD_NUMTILE:i2 MEAN_DELTA_X:f4:mm
    RMS_DELTA_X:f4:mm MEAN_DELTA_Y:f4:mm RMS_DELTA_Y:f4:mm MEAN_FIBER_RA:f8:deg STD_FIBER_RA:f4:arcsec
    MEAN_FIBER_DEC:f8:deg STD_FIBER_DEC:f4:arcsec MEAN_PSF_TO_FIBER_SPECFLUX:f4
""")
EXP_FIBERMAP = columns("""
    TARGETID:i8 PRIORITY:i4 SUBPRIORITY:f8 NIGHT:i4 EXPID:i4 MJD:f8 TILEID:i4 EXPTIME:f8:s PETAL_LOC:i2
    DEVICE_LOC:i4 LOCATION:i8 FIBER:i4 FIBERSTATUS:i4 FIBERASSIGN_X:f4:mm FIBERASSIGN_Y:f4:mm LAMBDA_REF:f4:Angstrom
    PLATE_RA:f8:deg PLATE_DEC:f8:deg NUM_ITER:i8 FIBER_X:f8:mm FIBER_Y:f8:mm DELTA_X:f8:mm DELTA_Y:f8:mm
    FIBER_RA:f8:deg FIBER_DEC:f8:deg PSF_TO_FIBER_SPECFLUX:f8
""")
_TRACERS = ("GPBDARK", "ELG", "GPBBRIGHT", "LYA", "BGS", "GPBBACKUP", "QSO", "LRG")
_TSNR2_COLUMNS = [f"TSNR2_{tracer}{arm}:f4" for arm in ("_B", "_R", "_Z", "") for tracer in _TRACERS]
TSNR2 = columns(" ".join(["TARGETID:i8", *_TSNR2_COLUMNS]))
SCORES = columns(
    " ".join(
        ["TARGETID:i8"]
        + [
            f"{kind}_{arm}:f4"
            for arm in "BRZ"
            for kind in ("INTEG_COADD_FLUX", "MEDIAN_COADD_FLUX", "MEDIAN_COADD_SNR")
        ]
        + _TSNR2_COLUMNS
    )
)
REDSHIFTS = columns("""
    TARGETID:i8 CHI2:f8 COEFF:10f8 Z:f8 ZERR:f8 ZWARN:i8 NPIXELS:i8 SPECTYPE:S6 SUBTYPE:S20 NCOEFF:i8 DELTACHI2:f8
""")
TILEPIX = columns("TILEID:i4 SURVEY:S7 PROGRAM:S6 PETAL_LOC:i2 HEALPIX:i4")
