"""Who gets which version, and what follows from the evidence? Pure: no I/O, no clock."""
