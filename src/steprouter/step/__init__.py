"""What is asked: a step, its kind, the evidence earlier steps left, and what an answer needs."""
