"""How long a run lasts and how long it may be idle, where its workflow says so.

The rules:

1. A run that began longer ago than ``lasts`` is over. So is one that was permitted nothing for longer than ``idle``:
   since its last admitted call, or since it began.
2. A run that is over permits nothing, whether or not anybody has ended it on record.

Pure.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from agentguard.core.reasons import Reason


def over(
    began: datetime, last_call: datetime | None, now: datetime, lasts: timedelta | None, idle: timedelta | None
) -> Reason | None:
    """Why a run is over at that moment; None: it is not."""
    if lasts is not None and now - began > lasts:
        return Reason.RUN_EXPIRED
    if idle is not None and now - (began if last_call is None else last_call) > idle:
        return Reason.RUN_IDLE
    return None
