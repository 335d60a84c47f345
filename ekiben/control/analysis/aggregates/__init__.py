"""What a report is made of, kept from report to report, so that a report costs what is new."""
