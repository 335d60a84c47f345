"""Which experiments document is in force, and how did it come to be? In Redis, on disk, from a file."""
