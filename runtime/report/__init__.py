"""What is known of a run when it is over: counters, events, the summary and its page."""
