"""What agentguard serves over HTTP. Needs the extra `server`."""
