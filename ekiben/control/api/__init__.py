"""What does the controller answer to programs? The admin API, health and metrics."""
