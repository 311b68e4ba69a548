"""From a run's document to its page, the terminal's summary and CDash. Knows no process and no build cache."""
