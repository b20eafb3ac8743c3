# SPDX-License-Identifier: Apache-2.0
"""Signed notes and checkpoints, against the specification's own example and everything malformed."""

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from audit import notes
from audit.notes import BadNote, Checkpoint

# The example of C2SP signed-note.
VKEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
NOTE = (
    "This is an example message.\n\n— example.com/foo "
    "Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"
)
KEY = Ed25519PrivateKey.generate()
NAME = "bureau.example/log"
ROOT = bytes(range(32))
CHECKPOINT = Checkpoint(NAME, 42, ROOT)


def public(kind: int = notes.ED25519, name: str = NAME, key: Ed25519PrivateKey = KEY) -> notes.Verifier:
    return notes.Verifier(name, kind, key.public_key().public_bytes_raw())


def test_the_specifications_own_note_verifies() -> None:
    known = notes.parse_key(VKEY)
    assert str(known) == VKEY
    text, ((key, _),) = notes.verified(NOTE, [known])
    assert (text, key) == ("This is an example message.\n", known)


@given(st.integers(0, len(NOTE.encode()) - 1), st.integers(1, 255))
def test_no_byte_of_it_can_change(place: int, flip: int) -> None:
    changed = bytearray(NOTE.encode())
    changed[place] ^= flip
    with pytest.raises((BadNote, UnicodeDecodeError)):
        notes.verified(changed.decode(), [notes.parse_key(VKEY)])


def test_a_checkpoint_goes_there_and_back() -> None:
    note = notes.assemble(CHECKPOINT.text, [notes.sign(CHECKPOINT.text, public(), KEY.sign)])
    text, signed = notes.verified(note, [public()])
    assert len(signed) == 1
    assert notes.parse_checkpoint(text) == CHECKPOINT
    assert notes.split(note) == (CHECKPOINT.text, [notes.sign(CHECKPOINT.text, public(), KEY.sign)])


def test_unknown_signatures_are_ignored_and_a_cosignature_carries_its_time() -> None:
    witness, stranger = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    text = CHECKPOINT.text
    other, cosigner = (
        public(name="stranger.example", key=stranger),
        public(notes.COSIGNATURE, "witness.example", witness),
    )
    signatures = [
        notes.sign(text, public(), KEY.sign),
        notes.cosign(text, cosigner, witness.sign, 1_679_315_147),
        notes.sign(text, other, stranger.sign),
    ]
    note = notes.assemble(text, signatures)
    known = [public(), public(notes.COSIGNATURE, "witness.example", witness)]
    _, signed = notes.verified(note, known)
    assert [key.name for key, _ in signed] == [NAME, "witness.example"]
    assert signed[1][1].time == 1_679_315_147
    with pytest.raises(BadNote, match="none of the keys"):
        notes.verified(note, [public(name="other.example")])


def test_a_known_keys_signature_that_does_not_verify_spoils_the_note() -> None:
    other = notes.sign("another text\n", public(), KEY.sign)
    note = notes.assemble(CHECKPOINT.text, [notes.sign(CHECKPOINT.text, public(), KEY.sign), other])
    with pytest.raises(BadNote, match="not over this note"):
        notes.verified(note, [public()])


@pytest.mark.parametrize(
    "note",
    [
        "", "\n", "text\n", "text\n\n", "text\n\nnot a signature\n", "text\n\n— name\n", "text\n\n— name AAAA\n",
        "text\n\n— na+me AAAAAAAA\n", "text\n\n—  AAAAAAAA\n", "te\txt\n\n— name AAAAAAAAAA==\n",
        "text\n\n— name AAAAAAB=\n", "text\n\n— name AAAAAAAB==", "text\n\n— name !!!!\n",
        "x" * notes.MAX_NOTE_BYTES + "\n\n— name AAAAAAAA\n",
        "text\n\n" + "— name AAAAAAAA\n" * (notes.MAX_SIGNATURES + 1),
    ],
)  # fmt: skip
def test_what_is_no_note_is_refused(note: str) -> None:
    with pytest.raises(BadNote):
        notes.split(note)


@pytest.mark.parametrize(
    "text",
    ["a\n1\n", "a\n1\n\n", "\n1\nAAAA\n", "a\n01\n" + base64.b64encode(ROOT).decode() + "\n",
     "a\n-1\n" + base64.b64encode(ROOT).decode() + "\n", "a\n1\nAAAA\n",
     "a\n\u0661\n" + base64.b64encode(ROOT).decode() + "\n",
     "a\n1\n" + base64.b64encode(ROOT).decode()],
)  # fmt: skip
def test_what_is_no_checkpoint_is_refused(text: str) -> None:
    with pytest.raises(BadNote):
        notes.parse_checkpoint(text)


def test_extension_lines_are_not_read() -> None:
    assert notes.parse_checkpoint(CHECKPOINT.text + "more\n") == CHECKPOINT


@pytest.mark.parametrize(
    "key",
    ["", "name", "name+00000000+AAAA", VKEY.replace("530d903a", "530d903b"), VKEY.replace("foo", "bar"), VKEY + "A",
     VKEY.replace("+Ae", "+Bg")],
)  # fmt: skip
def test_what_is_no_verifier_key_is_refused(key: str) -> None:
    with pytest.raises(BadNote):
        notes.parse_key(key)
