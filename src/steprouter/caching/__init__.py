"""When an answer may be given again: what two texts must have in common besides being alike."""
