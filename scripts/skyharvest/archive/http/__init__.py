"""HTTP(S): one patient client, and files behind URLs."""
