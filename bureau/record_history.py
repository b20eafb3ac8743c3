# SPDX-License-Identifier: Apache-2.0
"""One record as it was delivered, with everything that was laid over it: for the staff, each look on the trail.

The law wants the original kept (征信业务管理办法 Art. 17), so somebody must be able to see it. This is the one way out
beside `disclosure` (ADR 0053): the entry commits in the transaction that reads, before anything is returned.
"""

from typing import Any

from audit import review, trail
from bureau import amendments, folios, overlays
from kernel.auth import Principal

AT_THE_COUNTER = Principal("counter", frozenset(), role="counter")


def look(uscc: str, record_id: str, by: Principal = AT_THE_COUNTER) -> dict[str, Any]:
    """The record, what lies and lay over it, and what is shown of it now (null: withdrawn). Raises NotFound."""
    channel = "counter" if by is AT_THE_COUNTER else "api"
    with trail.recording() as tx:
        record, over = amendments.require_record(tx, uscc, record_id)
        laid = [one for one in overlays.lying(tx, uscc) if one.record == record_id]
        asked = {"uscc": uscc, "record": record_id}
        review.record_view(tx, by, "record-history", 1, asked, channel)
    return {
        "record": record,
        "overlays": [
            {
                "overlay": one.id,
                "kind": one.correction.kind,
                "items": one.correction.items,
                "since": one.since,
                "until": one.until,
                "batch": None if one.batch is None else str(one.batch),
            }
            for one in laid
        ],
        "shown": folios.laid_over(record, over),
    }
