"""The pure core: experiments, assignment, life cycle. No I/O, no clock, nothing of ours imported."""
