"""What the router, the controller and the command line say to each other through the state Redis."""
