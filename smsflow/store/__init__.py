"""SQLite: the tables, and the only SQL."""
