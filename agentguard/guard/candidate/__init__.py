"""A candidate beside the live policy: what another bundle would decide of each call, and never a part of it."""
