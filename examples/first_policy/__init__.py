"""An agent that nobody has written a policy for: observed, learnt, put right in two places, tested, enforced."""
