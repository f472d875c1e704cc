"""What agentguard costs, measured beside what it stands next to. Run ``python -m benchmarks``."""
