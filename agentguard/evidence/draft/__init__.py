"""``agentguard init``: a policy for tools that have none yet, drawn up from what they say of themselves."""
