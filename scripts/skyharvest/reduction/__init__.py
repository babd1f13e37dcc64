"""From the raw data of surveys to spectra: a package for each survey. What one of them does is not of the others."""
