"""What the HTTP servers of the router and of the controller share."""
