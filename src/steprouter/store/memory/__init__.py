"""Memory in Redis: how records look, how they are recalled in one trip, written, indexed, copied and erased."""
