"""What does `ekiben up` show? Real applicants, and experiments in fast motion."""
