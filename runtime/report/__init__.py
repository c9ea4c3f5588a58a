"""The report of a run: counters, events, the summary and its page."""
