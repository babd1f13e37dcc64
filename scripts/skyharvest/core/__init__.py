"""What everything else stands on: errors, files that appear whole, provenance, the command line."""
