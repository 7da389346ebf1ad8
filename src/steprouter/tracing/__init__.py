"""Why it happened: the trace of a step, where it goes, and how people read it."""
