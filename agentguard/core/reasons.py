"""Every reason a decision can give. Codes are for ever: add, never rename.

What each means, whose turn it is and which control it maps to stands in ``agentguard/audit/reasons.yaml``.
"""

from __future__ import annotations

import enum


class Reason(enum.StrEnum):
    """A stable code; the value is what records hold."""

    # the guard itself
    INTERNAL_ERROR = "internal_error"
    CLOCK_UNAVAILABLE = "clock_unavailable"
    CLOCK_UNTRUSTED = "clock_untrusted"
    CONFLICT = "conflict"

    # the request
    TOOL_UNKNOWN = "tool_unknown"
    TOOL_CHANGED = "tool_changed"
    ARGUMENTS_INVALID = "arguments_invalid"
    ARGUMENTS_TOO_LARGE = "arguments_too_large"
    CALL_DIFFERS = "call_differs"

    # the run and its workflow
    NO_RUN = "no_run"
    RUN_UNAVAILABLE = "run_unavailable"
    RUN_ENDED = "run_ended"
    OBSERVING_OVER = "observing_over"
    RUN_EXPIRED = "run_expired"
    RUN_IDLE = "run_idle"
    RUN_STOPPED = "run_stopped"
    WORKFLOW_UNKNOWN = "workflow_unknown"
    WORKFLOW_CHANGED = "workflow_changed"
    WORKFLOW_OVERDUE = "workflow_overdue"
    WORKFLOW_DRAFT = "workflow_draft"
    NO_MATCHING_STEP = "no_matching_step"
    STEP_OUT_OF_ORDER = "step_out_of_order"
    STEP_NOT_DELEGATED = "step_not_delegated"
    STEP_EXCLUDED = "step_excluded"
    STEP_USED_UP = "step_used_up"
    CONDITION_FALSE = "condition_false"
    CONDITION_FAILED = "condition_failed"
    BUDGET_EXCEEDED = "budget_exceeded"
    BUDGET_UNAVAILABLE = "budget_unavailable"
    PROVENANCE_UNMET = "provenance_unmet"
    RUN_LOST_TRACK = "run_lost_track"
    ARGUMENT_IS_FILLED = "argument_is_filled"
    FILL_UNAVAILABLE = "fill_unavailable"
    LINK_NOT_ALLOWED = "link_not_allowed"
    ADDRESS_NOT_ALLOWED = "address_not_allowed"
    TEXT_CARRIES = "text_carries"

    # who calls
    IDENTITY_UNAVAILABLE = "identity_unavailable"
    IDENTITY_STALE = "identity_stale"
    IDENTITY_NOT_YET_VALID = "identity_not_yet_valid"
    IDENTITY_EXPIRED = "identity_expired"
    IDENTITY_NOT_BOUND = "identity_not_bound"
    IDENTITY_OUTDATED = "identity_outdated"
    SUBJECT_NOT_ALLOWED = "subject_not_allowed"
    SUBJECT_CHANGED = "subject_changed"
    SUBJECT_SUSPENDED = "subject_suspended"
    ASSURANCE_TOO_LOW = "assurance_too_low"
    CREDENTIAL_REVOKED = "credential_revoked"
    SIGNALS_UNAVAILABLE = "signals_unavailable"

    # the assertion (identity/): what the verifier refused
    ASSERTION_MISSING = "assertion_missing"
    ASSERTION_REPLAYED = "assertion_replayed"
    ASSERTION_TOO_LARGE = "assertion_too_large"
    ASSERTION_MALFORMED = "assertion_malformed"
    ASSERTION_UNSUPPORTED_HEADER = "assertion_unsupported_header"
    ASSERTION_WRONG_TYPE = "assertion_wrong_type"
    ASSERTION_BAD_ALGORITHM = "assertion_bad_algorithm"
    ASSERTION_UNKNOWN_KEY = "assertion_unknown_key"
    ASSERTION_REVOKED_KEY = "assertion_revoked_key"
    ASSERTION_BAD_SIGNATURE = "assertion_bad_signature"
    ASSERTION_MISSING_CLAIM = "assertion_missing_claim"
    ASSERTION_INVALID_CLAIM = "assertion_invalid_claim"
    ASSERTION_WRONG_ISSUER = "assertion_wrong_issuer"
    ASSERTION_WRONG_AUDIENCE = "assertion_wrong_audience"
    ASSERTION_WRONG_SUBJECT = "assertion_wrong_subject"
    ASSERTION_WRONG_CLAIM = "assertion_wrong_claim"
    ASSERTION_EXPIRED = "assertion_expired"
    ASSERTION_NOT_YET_VALID = "assertion_not_yet_valid"
    ASSERTION_ISSUED_IN_FUTURE = "assertion_issued_in_future"
    ASSERTION_TOO_OLD = "assertion_too_old"
    ASSERTION_LIFETIME_TOO_LONG = "assertion_lifetime_too_long"
    ASSERTION_PROOF_MISSING = "assertion_proof_missing"
    ASSERTION_PROOF_INVALID = "assertion_proof_invalid"
    ASSERTION_KEYS_UNAVAILABLE = "assertion_keys_unavailable"

    # where it goes
    DESTINATION_AMBIGUOUS = "destination_ambiguous"
    DESTINATION_MISSING = "destination_missing"
    DESTINATION_UNCLASSIFIED = "destination_unclassified"
    DESTINATION_TOO_SENSITIVE = "destination_too_sensitive"
    DESTINATION_NOT_ALLOWED = "destination_not_allowed"
    ZONE_NOT_REACHABLE = "zone_not_reachable"
    ZONE_FIRST_CONTACT = "zone_first_contact"
    WRITE_DOWN = "write_down"

    # risk
    RISK_UNAVAILABLE = "risk_unavailable"
    RISK_TOO_HIGH = "risk_too_high"

    # a person
    APPROVAL_REQUIRED = "approval_required"
    APPROVAL_PENDING = "approval_pending"
    APPROVAL_EXPIRED = "approval_expired"
    APPROVAL_REFUSED = "approval_refused"
    APPROVAL_MISMATCH = "approval_mismatch"
    APPROVAL_UNAVAILABLE = "approval_unavailable"
    APPROVAL_IMPOSSIBLE = "approval_impossible"
