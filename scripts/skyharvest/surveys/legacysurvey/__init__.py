"""The DESI Legacy Imaging Surveys: cutouts of bricks."""
