"""The light loop: sessions, schedule, replay, guard, records and report. Never imports torch."""
