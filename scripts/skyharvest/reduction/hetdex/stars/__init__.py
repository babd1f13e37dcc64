"""Stars of a shot: where it points, how wide their images are, and its throughput."""
