# SPDX-License-Identifier: Apache-2.0
"""Institutions: registered once, approved at once, held to what their standing allows."""

import pytest
from sqlalchemy import select, update

from access import institutions, models
from audit.models import entry as entries
from consent.question import PRODUCTS, PURPOSES
from kernel import db
from kernel.auth import Institution
from kernel.errors import Conflict, Invalid, NotFound, NotPermitted
from tests import factories
from tests.conftest import House


def test_an_institution_is_approved_for_everything_and_its_coming_is_an_entry(house: House) -> None:
    with db.transaction() as tx:
        added = institutions.add(tx, "  演示商业银行 ", "bank")
        standing = institutions.get(tx, added)
        assert institutions.exists(tx, added)
        entry = tx.execute(select(entries).where(entries.c.institution == added)).one()
    assert standing == Institution(added, "演示商业银行", "bank", "approved")
    assert (entry.type, entry.actor) == ("institution.added", "counter")
    for purpose in PURPOSES:
        for product in PRODUCTS:
            institutions.require_standing(standing, purpose, product)


@pytest.mark.parametrize("kind", ["", "Bank", "kind:bank", "platform", "银行"])
def test_an_unknown_kind_is_refused_with_the_kinds_there_are(house: House, kind: str) -> None:
    with db.transaction() as tx, pytest.raises(Invalid, match=", ".join(institutions.KINDS)):
        institutions.add(tx, "演示", kind)


@pytest.mark.parametrize("name", ["", "   ", "x" * 201])
def test_a_name_that_is_none_is_refused(house: House, name: str) -> None:
    with db.transaction() as tx, pytest.raises(Invalid) as refused:
        institutions.add(tx, name, "bank")
    assert refused.value.extra["errors"] == {"name": ["1 to 200 characters"]}


def test_a_name_is_given_once(house: House) -> None:
    factories.bank("演示银行甲")
    with db.transaction() as tx, pytest.raises(Conflict, match="演示银行甲"):
        institutions.add(tx, " 演示银行甲 ", "insurer")


def test_what_is_not_registered_is_not_found(house: House) -> None:
    with db.reading() as reading:
        assert not institutions.exists(reading, "nobody")
        with pytest.raises(NotFound):
            institutions.get(reading, "nobody")


def test_all_are_listed_by_name_with_their_standing(house: House) -> None:
    added = {name: factories.bank(name) for name in ("C 银行", "A 银行", "B 银行")}
    with db.reading() as reading:
        listed = institutions.list_all(reading)
    assert [line["name"] for line in listed] == ["A 银行", "B 银行", "C 银行"]
    assert listed[0] == {
        "institution": added["A 银行"],
        "name": "A 银行",
        "kind": "bank",
        "status": "approved",
        "products": (),
        "purposes": (),
    }


@pytest.mark.parametrize(
    ("changes", "slug"),
    [
        ({"status": "suspended"}, "institution-not-approved"),
        ({"purposes": "post_loan,guarantee"}, "purpose-not-allowed"),
        ({"products": "screening"}, "product-not-allowed"),
        ({"status": "suspended", "purposes": "post_loan"}, "institution-not-approved"),
    ],
)
def test_what_its_standing_does_not_allow_is_refused_by_name(house: House, changes: dict[str, str], slug: str) -> None:
    institution = factories.bank()
    with db.transaction() as tx:
        tx.execute(update(models.institution).where(models.institution.c.id == institution).values(**changes))
        standing = institutions.get(tx, institution)
    with pytest.raises(NotPermitted) as refused:
        institutions.require_standing(standing, "pre_loan", "records")
    assert refused.value.slug == slug


def test_a_listed_purpose_and_product_pass(house: House) -> None:
    standing = Institution("i", "n", "bank", "approved", ("records", "screening"), ("post_loan", "pre_loan"))
    institutions.require_standing(standing, "pre_loan", "records")
