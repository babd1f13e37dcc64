"""The light of fibers on a detector: their profiles, joint extraction, and light that is scattered."""
