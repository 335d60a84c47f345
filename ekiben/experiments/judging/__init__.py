"""What should be done with an experiment? Verdict, ramp and plan, from its report alone."""
