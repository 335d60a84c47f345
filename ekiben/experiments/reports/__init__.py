"""What is known of an experiment at one moment? Plain values, from the verdict down to one interval."""
