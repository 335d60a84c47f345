"""What do `train`, `gate` and `panic` do? They work on this machine, without a router or a controller."""
