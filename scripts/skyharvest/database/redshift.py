"""The nine tables of DESI's public redshift database, with the names, types, keys and indexes of
`desispec.database.redshift` (desispec 0.70); a test compares them. No column may be NULL.
"""

from skyharvest.database.schema import Definition, columns_of

_FIT = """
double: z zerr
bigint: zwarn
double: chi2 coeff_0 coeff_1 coeff_2 coeff_3 coeff_4 coeff_5 coeff_6 coeff_7 coeff_8 coeff_9
bigint: npixels
text(6): spectype
text(20): subtype
bigint: ncoeff
double: deltachi2
integer: coadd_fiberstatus
"""
_COADD = """
smallint: coadd_numexp
real: coadd_exptime
smallint: coadd_numnight coadd_numtile
real: mean_delta_x rms_delta_x mean_delta_y rms_delta_y
double: mean_fiber_ra
real: std_fiber_ra
double: mean_fiber_dec
real: std_fiber_dec mean_psf_to_fiber_specflux tsnr2_gpbdark_b tsnr2_elg_b tsnr2_gpbbright_b tsnr2_lya_b
real: tsnr2_bgs_b tsnr2_gpbbackup_b tsnr2_qso_b tsnr2_lrg_b tsnr2_gpbdark_r tsnr2_elg_r tsnr2_gpbbright_r
real: tsnr2_lya_r tsnr2_bgs_r tsnr2_gpbbackup_r tsnr2_qso_r tsnr2_lrg_r tsnr2_gpbdark_z tsnr2_elg_z
real: tsnr2_gpbbright_z tsnr2_lya_z tsnr2_bgs_z tsnr2_gpbbackup_z tsnr2_qso_z tsnr2_lrg_z tsnr2_gpbdark
real: tsnr2_elg tsnr2_gpbbright tsnr2_lya tsnr2_bgs tsnr2_gpbbackup tsnr2_qso tsnr2_lrg
smallint: sv_nspec
boolean: sv_primary
smallint: main_nspec
boolean: main_primary
smallint: zcat_nspec
boolean: zcat_primary
"""
PHOTOMETRY = Definition(
    "photometry",
    columns_of("""
bigint: ls_id
smallint: release
integer: brickid
text(8): brickname
integer: brick_objid
text(4): morphtype
double: ra
real: ra_ivar
double: dec
real: dec_ivar dchisq_psf dchisq_rex dchisq_dev dchisq_exp dchisq_ser ebv flux_g flux_r flux_z flux_ivar_g
real: flux_ivar_r flux_ivar_z mw_transmission_g mw_transmission_r mw_transmission_z fracflux_g fracflux_r
real: fracflux_z fracmasked_g fracmasked_r fracmasked_z fracin_g fracin_r fracin_z
smallint: nobs_g nobs_r nobs_z
real: psfdepth_g psfdepth_r psfdepth_z galdepth_g galdepth_r galdepth_z flux_w1 flux_w2 flux_w3 flux_w4
real: flux_ivar_w1 flux_ivar_w2 flux_ivar_w3 flux_ivar_w4 mw_transmission_w1 mw_transmission_w2
real: mw_transmission_w3 mw_transmission_w4
smallint: allmask_g allmask_r allmask_z
real: fiberflux_g fiberflux_r fiberflux_z fibertotflux_g fibertotflux_r fibertotflux_z ref_epoch
smallint: wisemask_w1 wisemask_w2 maskbits
real: shape_r shape_e1 shape_e2 shape_r_ivar shape_e1_ivar shape_e2_ivar sersic sersic_ivar
bigint: ref_id
text(2): ref_cat
real: gaia_phot_g_mean_mag gaia_phot_g_mean_flux_over_error gaia_phot_bp_mean_mag
real: gaia_phot_bp_mean_flux_over_error gaia_phot_rp_mean_mag gaia_phot_rp_mean_flux_over_error
real: gaia_phot_bp_rp_excess_factor
boolean: gaia_duplicated_source
real: gaia_astrometric_sigma5d_max
smallint: gaia_astrometric_params_solved
real: parallax parallax_ivar pmra pmra_ivar pmdec pmdec_ivar
bigint: targetid
"""),
    key=("targetid",),
    indexes=("ls_id",),
)
TARGET = Definition(
    "target",
    columns_of("""
id: id
bigint: targetid
text(1): photsys
double: subpriority
bigint: obsconditions priority_init numobs_init hpxpixel cmx_target desi_target bgs_target mws_target
bigint: sv1_desi_target sv1_bgs_target sv1_mws_target sv2_desi_target sv2_bgs_target sv2_mws_target
bigint: sv3_desi_target sv3_bgs_target sv3_mws_target scnd_target sv1_scnd_target sv2_scnd_target
bigint: sv3_scnd_target
text(7): survey
text(6): program
integer: tileid
"""),
    key=("id",),
    indexes=("targetid", "hpxpixel", "survey", "program", "tileid"),
    unique=("targetid", "survey", "tileid"),
    refers={"targetid": "photometry.targetid", "tileid": "tile.tileid"},
)
TILE = Definition(
    "tile",
    columns_of("""
integer: tileid
text(20): survey
text(6): program
text(20): faprgrm faflavor
bigint: nexp
double: exptime tilera tiledec efftime_etc efftime_spec efftime_gfa goaltime
text(20): obsstatus
double: lrg_efftime_dark elg_efftime_dark bgs_efftime_bright lya_efftime_dark
text(20): goaltype
double: mintfrac
integer: lastnight
"""),
    key=("tileid",),
)
EXPOSURE = Definition(
    "exposure",
    columns_of("""
integer: night expid tileid
double: tilera tiledec
time: date_obs
double: mjd
text(7): survey
text(6): program
text(16): faprgrm
text(19): faflavor
double: exptime efftime_spec goaltime
text(6): goaltype
double: mintfrac
real: airmass
double: ebv seeing_etc
real: efftime_etc tsnr2_elg tsnr2_qso tsnr2_lrg
double: tsnr2_lya
real: tsnr2_bgs tsnr2_gpbdark tsnr2_gpbbright tsnr2_gpbbackup lrg_efftime_dark elg_efftime_dark
real: bgs_efftime_bright
double: lya_efftime_dark
real: gpb_efftime_dark gpb_efftime_bright gpb_efftime_backup
double: transparency_gfa seeing_gfa fiber_fracflux_gfa fiber_fracflux_elg_gfa fiber_fracflux_bgs_gfa
double: fiberfac_gfa fiberfac_elg_gfa fiberfac_bgs_gfa airmass_gfa sky_mag_ab_gfa sky_mag_g_spec
double: sky_mag_r_spec sky_mag_z_spec efftime_gfa efftime_dark_gfa efftime_bright_gfa efftime_backup_gfa
"""),
    key=("expid",),
    indexes=("night", "tileid"),
    refers={"tileid": "tile.tileid"},
)
FRAME = Definition(
    "frame",
    columns_of("""
integer: frameid night expid tileid
double: mjd
real: exptime ebv
text(2): camera
real: tsnr2_gpbdark tsnr2_elg tsnr2_gpbbright
double: tsnr2_lya
real: tsnr2_bgs tsnr2_gpbbackup tsnr2_qso tsnr2_lrg
"""),
    key=("frameid",),
    indexes=("night", "tileid"),
    refers={"expid": "exposure.expid"},
)
FIBERASSIGN = Definition(
    "fiberassign",
    columns_of("""
id: id
integer: tileid
bigint: targetid
smallint: petal_loc
integer: device_loc location fiber fiberstatus
double: target_ra target_dec
real: lambda_ref
bigint: fa_target
smallint: fa_type
real: fiberassign_x fiberassign_y
integer: priority
double: plate_ra plate_dec
"""),
    key=("id",),
    indexes=("tileid", "targetid", "location"),
    unique=("tileid", "targetid", "location"),
    refers={"targetid": "photometry.targetid", "tileid": "tile.tileid"},
)
POTENTIAL = Definition(
    "potential",
    columns_of("""
id: id
integer: tileid
bigint: targetid
integer: fiber location
"""),
    key=("id",),
    indexes=("tileid", "targetid", "location"),
    unique=("tileid", "targetid", "location"),
    refers={"targetid": "photometry.targetid", "tileid": "tile.tileid"},
)
ZPIX = Definition(
    "zpix",
    columns_of(f"""
id: id
bigint: targetid
text(7): survey
text(6): program
text(10): spgrp
integer: spgrpval healpix
{_FIT.strip()}
{_COADD.strip()}
"""),
    key=("id",),
    indexes=("targetid", "survey", "program", "spgrp", "spgrpval", "healpix", "z", "zwarn", "spectype", "subtype"),
    unique=("targetid", "survey", "program"),
    refers={"targetid": "photometry.targetid"},
)
ZTILE = Definition(
    "ztile",
    columns_of(f"""
id: id targetphotid
bigint: targetid
text(7): survey
text(6): program
text: spgrp
integer: spgrpval
{_FIT.strip()}
integer: tileid
{_COADD.strip()}
"""),
    key=("id",),
    indexes=(
        "targetphotid",
        "targetid",
        "survey",
        "program",
        "spgrp",
        "spgrpval",
        "z",
        "zwarn",
        "spectype",
        "subtype",
        "tileid",
    ),
    unique=("targetid", "spgrp", "spgrpval", "tileid"),
    refers={"targetid": "photometry.targetid", "targetphotid": "target.id", "tileid": "tile.tileid"},
)
TABLES = (PHOTOMETRY, TARGET, TILE, EXPOSURE, FRAME, FIBERASSIGN, POTENTIAL, ZPIX, ZTILE)
