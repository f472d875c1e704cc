"""``agentguard doctor``: what stands before the first permitted call, and what weakens a deployment."""
