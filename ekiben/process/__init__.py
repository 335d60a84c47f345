"""What do all processes share? Settings, logs, traces, private files."""
