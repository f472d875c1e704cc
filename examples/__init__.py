"""Four examples that touch real things. Run one with ``python -m examples.database_export``."""
