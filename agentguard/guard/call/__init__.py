"""One guarded call, by phase. ``order`` is the order of events; the other files are what it does in it."""
