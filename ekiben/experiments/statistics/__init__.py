"""Which numbers do the sums over users give, and how surely? Pure formulas, each with its source."""
