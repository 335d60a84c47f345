"""From events to reports: expressions over `event_tables`, statistics from tea-tasting and `experiments`."""
