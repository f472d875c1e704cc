"""Decides at every tool call of an AI agent whether it may run, and records why."""
