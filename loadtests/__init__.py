"""How much does it carry? Load tests and benchmarks, which nothing imports."""
