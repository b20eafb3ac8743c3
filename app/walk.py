# SPDX-License-Identifier: Apache-2.0
"""The walk that `make run` prints: a bank asks, is answered, is refused, and the trail proves it all."""

from collections.abc import Mapping
from typing import Any

_WALK = """
The demo city is in. Open a second terminal in this folder and paste, one block at a time:

  # 0. who is who; and the service is up
  BASE={base}
  until curl -s -o /dev/null "$BASE/healthz"; do sleep 1; done
  USCC={uscc}   # {name}
  field() {{ .venv/bin/python -c "import json,sys; print(json.load(sys.stdin)['$1'])"; }}
  ask() {{ curl -sS "$BASE/v1/credit-queries" -H "Authorization: Bearer $BANK" -H "Content-Type: application/json" \\
        -H "Idempotency-Key: $(date +%s%N)" -d '{{"uscc":"'$USCC'","purpose":"pre_loan","product":"records","operator":"OP-00042"}}'; }}

  # 1. the bank gets a token (it lives 300 seconds) and asks: answered
  BANK=$(curl -sS -u '{client_id}:{client_secret}' -d grant_type=client_credentials "$BASE/oauth/token" | field access_token)
  ask | cut -c 1-600

  # 1b. it keeps the answer and a receipt, and proves offline what it was told
  ask >answer.json; RECEIPT=$(field receipt <answer.json); sleep 2
  curl -sS "$BASE$RECEIPT" -H "Authorization: Bearer $BANK" >answer.tlog-proof
  .venv/bin/bureau verify answer.tlog-proof --body answer.json; rm answer.json answer.tlog-proof

  # 2. the enterprise signs in and revokes its consent
  FIRM=$(curl -sS "$BASE/v1/sessions" -H "Content-Type: application/json" \\
        -d '{{"username":"{username}","password":"{password}"}}' | field token)
  CONSENT=$(curl -sS "$BASE/v1/consents?limit=50" -H "Authorization: Bearer $FIRM" | .venv/bin/python -c \\
        "import json,sys; print(next((c['consent_id'] for c in json.load(sys.stdin)['consents'] if (c['scope'],c['status'])==('query','active')), 'none-is-active'))")
  curl -sS -X POST "$BASE/v1/consents/$CONSENT/revoke" -H "Authorization: Bearer $FIRM" \\
        -H "Content-Type: application/json" -d '{{"reason":"trying it out"}}'; echo

  # 3. the very next question is refused
  ask; echo

  # 4. the enterprise grants anew; the bank asks again: answered
  curl -sS "$BASE/v1/consents" -H "Authorization: Bearer $FIRM" -H "Content-Type: application/json" -H "Idempotency-Key: $(date +%s%N)" \\
        -d '{{"uscc":"'$USCC'","grantee":"{institution}","classes":[1,2],"products":["records"],"purposes":["pre_loan"]}}'; echo
  ask | cut -c 1-600; echo

  # 5. the enterprise reads who asked, and the bureau verifies every entry of the trail
  curl -sS "$BASE/v1/enterprises/$USCC/access-log" -H "Authorization: Bearer $FIRM" | .venv/bin/python -m json.tool --no-ensure-ascii | head -40
  .venv/bin/bureau verify

The API's document is at {base}/openapi.json. Ctrl-C stops the service; what it wrote stays under BUREAU_HOME (./var).
"""


def text(credentials: Mapping[str, Any], base: str) -> str:
    """The walk with the demo's own credentials in it."""
    bank, enterprise = credentials["bank"], credentials["enterprise"]
    return _WALK.format(
        base=base,
        uscc=enterprise["uscc"],
        name=enterprise["name"],
        username=enterprise["username"],
        password=enterprise["password"],
        client_id=bank["client_id"],
        client_secret=bank["client_secret"],
        institution=bank["institution"],
    )
