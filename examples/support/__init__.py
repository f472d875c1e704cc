"""What the examples share: real servers on loopback, a timeline, people who answer, and checks of what really happened."""
