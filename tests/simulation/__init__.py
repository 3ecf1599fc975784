"""The daemon in a simulated world: one thread, a virtual clock, seeded faults. See README.md here."""
