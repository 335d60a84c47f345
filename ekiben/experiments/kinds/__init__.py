"""What can be computed of outcomes, compared and shown: one object for each kind of metric."""
