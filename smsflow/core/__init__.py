"""The pure core: no socket, file, clock, thread, randomness, environment or logging."""
