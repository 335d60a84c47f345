"""What does every command share? Settings, errors that say how to mend them, output, tables."""
