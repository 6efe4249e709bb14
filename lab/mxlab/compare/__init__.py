"""One story told with several mail servers, or with several retry schedules, side by side."""
