"""Transcripts that people already have: OpenAI messages, LangSmith and OpenTelemetry traces, MCP logs."""
