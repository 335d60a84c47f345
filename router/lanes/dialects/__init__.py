"""How is a server asked for predictions? One file for each kind of server, behind one interface."""
