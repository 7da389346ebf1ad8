"""Getting the answer: what was said, what failed, whether it is sufficient, and what to do next."""
