"""The surveys that can be harvested, a package each."""
