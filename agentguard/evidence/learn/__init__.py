"""From what an agent did to a draft: what can be taken from traffic, and what only an owner can say."""
