"""Load tests and benchmarks. Nothing imports them."""
