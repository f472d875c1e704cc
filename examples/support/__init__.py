"""What the examples share: servers on loopback, a timeline, people who answer, checks of what really happened."""
