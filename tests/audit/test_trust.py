# SPDX-License-Identifier: Apache-2.0
"""Policy files: who must have signed and cosigned; what is no policy is refused with its line."""

import contextlib
from itertools import combinations
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from audit import notes, trust
from audit.notes import BadNote, Checkpoint, Verifier
from audit.trust import BadPolicy
from kernel.errors import SettingError

ORIGIN = "bureau.example/log"
# Always the same keys: pytest names tests by the policies that hold them.
NAMES = "log", "log2", "X1", "X2", "X3", "Y1", "Y2", "Y3"
SECRETS = {name: Ed25519PrivateKey.from_private_bytes(name.encode().rjust(32)) for name in NAMES}
KEYS = {
    name: Verifier(
        ORIGIN if name.startswith("log") else f"{name.lower()}.example",
        notes.ED25519 if name.startswith("log") else notes.COSIGNATURE,
        secret.public_key().public_bytes_raw(),
    )
    for name, secret in SECRETS.items()
}
LOG = f"log {KEYS['log']}\n"
WITNESSES = "".join(f"witness {name} {KEYS[name]}\n" for name in KEYS if not name.startswith("log"))
# As in the specification: two of the three of one house, and any of another.
TWO_HOUSES = f"""# two houses
{LOG}
{WITNESSES}
group X-witnesses 2 X1 X2 X3
\tgroup  Y-witnesses\tany Y1 Y2 Y3\t
group X-and-Y all X-witnesses Y-witnesses
quorum X-and-Y
"""


def note(*signers: str, checkpoint: Checkpoint | None = None) -> str:
    text = (checkpoint or Checkpoint(ORIGIN, 7, bytes(32))).text
    made = [
        notes.sign(text, KEYS[name], SECRETS[name].sign)
        if name.startswith("log")
        else notes.cosign(text, KEYS[name], SECRETS[name].sign, 1_700_000_000)
        for name in signers
    ]
    return notes.assemble(text, made)


def is_vouched(policy: str, *signers: str) -> bool:
    try:
        trust.vouched(note(*signers), [], trust.parse(policy.encode()))
    except BadNote:
        return False
    return True


@pytest.mark.parametrize("size", range(4))
def test_a_quorum_of_groups_is_met_by_exactly_those_that_make_it(size: int) -> None:
    for some in combinations([name for name in KEYS if not name.startswith("log")], size):
        wanted = sum(name[0] == "X" for name in some) >= 2 and any(name[0] == "Y" for name in some)
        assert is_vouched(TWO_HOUSES, "log", *some) is wanted, some


def test_cosignatures_alone_are_not_enough_and_any_listed_log_key_is() -> None:
    everyone = [name for name in KEYS if not name.startswith("log")]
    assert not is_vouched(TWO_HOUSES, *everyone)
    assert not is_vouched(TWO_HOUSES, "log2", *everyone)
    assert is_vouched(
        TWO_HOUSES.replace(LOG, f"{LOG}log {KEYS['log2']} https://bureau.example/log\n"), "log2", *everyone
    )


def test_a_log_key_speaks_for_its_own_origin_only() -> None:
    other = note("log", checkpoint=Checkpoint("elsewhere.example/log", 7, bytes(32)))
    with pytest.raises(BadNote, match="no key of the log elsewhere"):
        trust.vouched(other, [KEYS["log"]])


def test_a_note_says_who_is_missing() -> None:
    with pytest.raises(BadNote, match="cosigned by X1: the policy asks for X-and-Y"):
        trust.vouched(note("log", "X1"), [], trust.parse(TWO_HOUSES.encode()))


def test_a_cosignature_that_is_not_over_the_checkpoint_spoils_it() -> None:
    forged = note("log", "X1", "X2") + str(notes.cosign("another\n", KEYS["Y1"], SECRETS["Y1"].sign, 1))
    with pytest.raises(BadNote, match=r"y1\.example is not over"):
        trust.vouched(forged, [], trust.parse(TWO_HOUSES.encode()))


def test_one_witness_is_a_quorum_and_so_is_none() -> None:
    assert is_vouched(f"{LOG}{WITNESSES}quorum X2\n", "log", "X2")
    assert not is_vouched(f"{LOG}{WITNESSES}quorum X2\n", "log", "X1")
    assert is_vouched(f"{LOG}quorum none\n", "log")


def test_names_are_octets_of_any_kind() -> None:
    policy = b"witness \xe2\x84\xaa " + str(KEYS["X1"]).encode() + b" https://x1.example/\nwitness K "
    policy += str(KEYS["X2"]).encode() + b"\ngroup \xff\xfe 2 \xe2\x84\xaa K # comments are lines of their own\n"
    with pytest.raises(BadPolicy, match="line 3: # is no witness"):
        trust.parse(policy + b"quorum \xff\xfe\n")
    whole = trust.parse(policy.partition(b" #")[0] + b"\nquorum \xff\xfe\n")
    assert whole.is_met([KEYS["X1"], KEYS["X2"]])
    assert not whole.is_met([KEYS["X1"]])
    assert [witness.url for witness in whole.witnesses] == ["https://x1.example", None]


X1, X2 = f"witness X1 {KEYS['X1']}\n", f"witness X2 {KEYS['X2']}\n"


@pytest.mark.parametrize(
    ("policy", "told"),
    [
        ("", "no quorum line"),
        ("# quorum none\n", "no quorum line"),
        ("quorum none", "line 1: it does not end"),
        ("quorum none\nquorum none\n", "line 2: a second quorum"),
        ("quorum\n", "line 1: quorum <name>"),
        ("quorum a b\n", "line 1: quorum <name>"),
        ("quorum X1\n", "line 1: X1 is no witness"),
        (f"quorum X1\n{X1}", "line 1: X1 is no witness"),
        ("quorum none\r\n", "line 1: a control character"),
        ("quorum\x0bnone\n", "line 1: a control character"),
        ("QUORUM none\n", "line 1: a line begins with"),
        (f"{LOG}{LOG}quorum none\n", "line 2: the key of a log named above"),
        ("log\nquorum none\n", "line 1: log <vkey>"),
        (f"log {KEYS['log']} https://a b\n", "line 1: log <vkey>"),
        (f"log {KEYS['X1']}\n", "line 1: not a log's key"),
        (f"witness X1 {KEYS['log']}\n", "line 1: not a witness's key"),
        ("witness X1 x\n", "line 1: not a verifier key"),
        ("witness X1\n", "line 1: witness <name>"),
        (f"witness X1 {KEYS['X1']} ftp://x1.example\n", "line 1: the URL"),
        (f"witness X1 {KEYS['X1']} https:\n", "line 1: the URL"),
        (f"{X1}witness X2 {KEYS['X1']}\n", "line 2: the key of a witness named above"),
        (f"{X1}witness X1 {KEYS['X2']}\n", "line 2: the name X1 is taken"),
        (f"witness none {KEYS['X1']}\n", "line 1: the name none is taken"),
        (f"{X1}group X1 any X1\n", "line 2: the name X1 is taken"),
        (f"{X1}group g any\n", "line 2: group <name>"),
        (f"{X1}group g any none\n", "line 2: none is no witness"),
        (f"{X1}group g any g\n", "line 2: g is no witness"),
        (f"{X1}group g 2 X1\n", "line 2: all, any, or a number from 1 to 1"),
        (f"{X1}group g 0 X1\n", "line 2: all, any, or a number"),
        (f"{X1}group g -1 X1\n", "line 2: all, any, or a number"),
        (f"{X1}group g \u0661 X1\n", "line 2: all, any, or a number"),
        (f"{X1}group g any X1 X1\n", "line 2: X1 is a member already"),
        (f"{X1}{X2}group g any X1\ngroup h any X1 X2\n", "line 4: X1 is a member already"),
        ("#" * trust.MAX_POLICY_BYTES + "\n", "at most"),
    ],
)
def test_what_is_no_policy_is_refused_with_its_line(policy: str, told: str) -> None:
    with pytest.raises(BadPolicy, match=told.replace("<", r"\<")):
        trust.parse(policy.encode())


def test_thirty_two_of_everything_are_taken() -> None:
    secrets = [Ed25519PrivateKey.generate().public_key().public_bytes_raw() for _ in range(64)]
    lines = [f"log {Verifier('l', notes.ED25519, key)}" for key in secrets[:32]]
    lines += [f"witness w{n} {Verifier('w', notes.COSIGNATURE, key)}" for n, key in enumerate(secrets[32:])]
    lines += [f"group g{n} any w{n}" for n in range(31)]
    lines += [f"group all 20 {' '.join(f'g{n}' for n in range(31))} w31", "quorum all"]
    policy = trust.parse(("\n".join(lines) + "\n").encode())
    assert policy.is_met([witness.key for witness in policy.witnesses[12:]])
    assert not policy.is_met([witness.key for witness in policy.witnesses[13:]])


@given(st.binary(max_size=400))
def test_whatever_a_file_holds_it_is_a_policy_or_refused(content: bytes) -> None:
    with contextlib.suppress(BadPolicy):
        assert trust.parse(content).quorum


def test_a_file_that_is_wrong_is_named_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "policy"
    file.write_bytes(b"quorum none\nnonsense\n")
    with pytest.raises(SettingError, match=rf"{file}: line 2: a line begins"):
        trust.read(file)
