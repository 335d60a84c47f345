"""What do the recorded events say about each experiment? From event files to reports."""
