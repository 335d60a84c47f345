"""What do all commands share? Settings, errors that say how to fix them, output, tables."""
