"""What reviewers read: every reason with what it means, whose turn it is and the controls it serves."""

from agentguard.audit.explain import ReasonInfo, reasons, reasons_page

__all__ = ["ReasonInfo", "reasons", "reasons_page"]
