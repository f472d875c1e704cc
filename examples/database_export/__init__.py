"""An agent exports what a ticket asks for from a real PostgreSQL, and nothing else."""
