"""The pages, one file a topic."""
