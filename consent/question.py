# SPDX-License-Identifier: Apache-2.0
"""A question: who asks the bureau, about whom, what for. Consent judges it, disclosure answers it."""

from collections.abc import Mapping
from dataclasses import dataclass

from access import institutions
from kernel import auth, canonical
from kernel.errors import NotPermitted

PURPOSES = institutions.PURPOSES
PRODUCTS = institutions.PRODUCTS
CLASSES = (1, 2, 3, 4, 5, 6, 7)


@dataclass(frozen=True, slots=True)
class Question:
    """One question about one enterprise. `classes` None asks for all that the consent covers."""

    uscc: str
    purpose: str
    product: str
    classes: tuple[int, ...] | None
    operator: str  # the natural person at the institution (银发〔2018〕102号)
    reference: str | None
    asking: auth.Institution
    actor: str
    client: str | None
    key: str | None
    channel: str = "api"
    bound_to: str | None = None  # the one consent that the caller's token is good for

    def digest(self) -> str:
        """Hex SHA-256 over what was asked, so that a repeated key can be told from a reused one."""
        asked = {
            "uscc": self.uscc,
            "purpose": self.purpose,
            "product": self.product,
            "classes": self.classes,
            "operator": self.operator,
            "reference": self.reference,
        }
        return canonical.digest(asked)


def of_client(principal: auth.Principal, asked: Mapping[str, object], key: str) -> Question:
    """The question that a client asks; raises NotPermitted if it is no institution's."""
    if principal.institution is None:
        raise NotPermitted("only a client of an institution may ask", slug="not-an-institution")
    classes = asked.get("classes")
    return Question(
        uscc=str(asked["uscc"]),
        purpose=str(asked["purpose"]),
        product=str(asked["product"]),
        classes=tuple(sorted(set(classes))) if isinstance(classes, list) else None,
        operator=str(asked["operator"]),
        reference=str(asked["reference"]) if asked.get("reference") is not None else None,
        asking=principal.institution,
        actor=principal.actor,
        client=principal.client,
        key=key,
        bound_to=principal.consent,
    )
