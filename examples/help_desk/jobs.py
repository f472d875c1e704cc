"""A worker of a task queue: a job that is tried again goes on with its run.

``python -m examples.help_desk.jobs FOLDER``
"""

from __future__ import annotations

import sys
from pathlib import Path

from persistqueue import SQLiteAckQueue

from agentguard import Guard, ToolCallDenied
from examples.help_desk.shop import Shop


def main(folder: Path, dies_at: str = "") -> None:
    """Do every job. One whose worker died was never acknowledged: the queue hands it out again."""
    queue = SQLiteAckQueue(str(folder / "queue"), auto_resume=True)
    with Guard.load(folder / "policy", home=folder / "home") as guard:
        look_up, refund = guard.wrap(Shop(folder, dies_at).tools())
        while queue.size:
            job = queue.get()
            customer = job["customer"]
            with guard.run("help-desk", inputs={"customer": customer}, requester="user:night", key=job["id"]) as run:
                print(run.id, flush=True)
                for order in job["orders"]:
                    look_up(customer, order)
                    try:
                        refund(customer, order, 1000)
                    except ToolCallDenied:
                        print(f"{order} was refunded by the try before", flush=True)
                run.end()
            queue.ack(job)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
