"""From tools and records to a policy in force: drafts, what stands in the way, and what a change would change."""
