# SPDX-License-Identifier: Apache-2.0
"""A root key in a real PKCS#11 token (SoftHSM): it wraps and unwraps, and is never seen."""

from collections.abc import Callable
from pathlib import Path

import pytest

from kernel import hsm, keys
from kernel.errors import SettingError
from kernel.hsm import HsmRoot
from kernel.keys import Altered
from tests import softhsm


@pytest.fixture
def uri(tmp_path: Path) -> str:
    return softhsm.new_uri(tmp_path)


@pytest.fixture
def root(uri: str) -> HsmRoot:
    held = hsm.parse(uri)
    held.create()
    return held


def test_the_token_wraps_and_unwraps_where_it_was_bound(root: HsmRoot) -> None:
    key = keys.new_key()
    wrapped = root.wrap(key, b"place")
    assert key._secret not in wrapped
    assert root.unwrap(wrapped, b"place", 7).decrypt(key.encrypt(b"facts", b""), b"") == b"facts"
    assert root.unwrap(wrapped, b"place", 7).version == 7
    changed = wrapped[:-1] + bytes([wrapped[-1] ^ 1])
    for bad, bound_to in ((wrapped, b"elsewhere"), (changed, b"place"), (b"", b"place"), (wrapped[:20], b"place")):
        with pytest.raises(Altered):
            root.unwrap(bad, bound_to)


def test_another_key_of_the_token_does_not_open_it(uri: str, root: HsmRoot) -> None:
    wrapped = root.wrap(keys.new_key(), b"place")
    other = hsm.parse(uri.replace("object=root", "object=other-root"))
    other.create()
    with pytest.raises(Altered):
        other.unwrap(wrapped, b"place")


def test_the_key_cannot_be_taken_out_and_is_never_overwritten(root: HsmRoot) -> None:
    with root._session() as session:
        held = root._key(session)
        with pytest.raises(hsm.pkcs11.AttributeSensitive):
            held[hsm.pkcs11.Attribute.VALUE]
        assert held[hsm.pkcs11.Attribute.EXTRACTABLE] is False
    assert root.exists()
    with pytest.raises(SettingError, match="already"):
        root.create()


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda uri: uri.replace("object=root", "object=none"), "0 keys"),
        (lambda uri: uri.replace("token=bureau", "token=none"), "NoSuchToken"),
        (lambda uri: uri.replace(softhsm.MODULE, "/nowhere.so"), "failed"),
        (lambda uri: uri + "x", "PIN cannot be read"),
    ],
)
def test_what_is_wrong_is_said_without_the_pin(root: HsmRoot, uri: str, spoil: Callable[[str], str], says: str) -> None:
    with pytest.raises(SettingError, match=says) as refused:
        hsm.parse(spoil(uri)).wrap(keys.new_key(), b"")
    assert softhsm.PIN not in str(refused.value)


def test_a_wrong_pin_and_a_pin_that_others_can_read_stop_it(root: HsmRoot) -> None:
    root.pin_file.write_text("000000")
    with pytest.raises(SettingError, match="PinIncorrect"):
        root.exists()
    root.pin_file.chmod(0o640)
    with pytest.raises(SettingError, match="chmod 600"):
        root.exists()


@pytest.mark.parametrize(
    "told",
    [
        "pkcs11:",
        "pkcs11:token=a;object=b?module-path=/m",
        "pkcs11:token=a;object=b?module-path=/m&pin-source=/p&slot=1",
        "pkcs11:token=;object=b?module-path=/m&pin-source=/p",
    ],
)
def test_a_uri_that_does_not_say_all_is_refused(told: str) -> None:
    with pytest.raises(SettingError, match="names module-path, object, pin-source, token"):
        hsm.parse(told)


def test_a_pin_in_the_uri_is_refused_and_not_repeated() -> None:
    with pytest.raises(SettingError, match="stands in a file") as refused:
        hsm.parse("pkcs11:token=a;object=b?module-path=/m&pin-value=123456")
    assert "123456" not in str(refused.value)


def test_labels_may_hold_what_a_uri_escapes() -> None:
    held = hsm.parse("pkcs11:token=%E5%BE%81%E4%BF%A1;object=a%3Bb?module-path=/m&pin-source=file:/run/pin")
    assert (held.token, held.object, held.pin_file) == ("征信", "a;b", Path("/run/pin"))


def test_without_the_package_the_extra_is_named(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hsm, "pkcs11", None)
    with pytest.raises(SettingError, match="extra `hsm`"):
        hsm.parse(uri).exists()
