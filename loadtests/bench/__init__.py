"""`make bench`: the router beside the service called directly and beside an empty app, in one run."""
