# SPDX-License-Identifier: Apache-2.0
"""A bank hears of a revocation from a bureau that is being served, also after its messenger was killed outright."""

import contextlib
import os
import signal
from pathlib import Path

from standardwebhooks import Webhook

from tests.conftest import House
from tests.connectors.receivers import receiving
from tests.journeys import service
from tests.journeys.cast import Cast, revoke, sign_in, token

TOLD_WITHIN_S = 15


def test_a_revocation_is_told_by_the_service_and_again_by_a_new_messenger(
    open_house: House, cast: Cast, tmp_path: Path
) -> None:
    environment = {**open_house.environment, "BUREAU_OUTWARD_NETWORKS": "127.0.0.0/8"}
    with receiving() as receiver, service.served(environment, tmp_path / "service.log") as served:
        bearer = f"Bearer {token(served, cast.bank)}"
        added = served.call("POST", "/v1/webhooks", {"url": f"{receiver.base}/hook"}, Authorization=bearer)
        assert added.status == 201, added
        hook = f"/v1/webhooks/{added.json['webhook_id']}"

        # Its messenger is killed before it could tell anything; the service starts another.
        for number in served.processes():
            if b"messenger" in Path(f"/proc/{number}/cmdline").read_bytes():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(number, signal.SIGKILL)
        revoke(served, sign_in(served, cast.enterprise), cast.consent)
        assert service.wait_until(lambda: receiver.received, TOLD_WITHIN_S), served.log.read_text()
        told = Webhook(added.json["secret"]).verify(receiver.received[0].body, receiver.received[0].headers)
        assert (told["type"], told["data"]["consent_id"]) == ("consent.revoked", cast.consent)

        def delivered() -> bool:
            return served.call("GET", hook, Authorization=bearer).json["delivered"] == 1

        assert service.wait_until(delivered, TOLD_WITHIN_S)
        polled = served.call("GET", "/v1/consent-events", Authorization=bearer).json["events"]
        assert [each["type"] for each in polled] == ["consent.granted", "consent.revoked"]
