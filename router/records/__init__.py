"""What is kept of what was served? Events, outcomes, metrics, logs: after the answer, never in its way."""
