"""Programs that prove what the documentation promises, on real processes."""
