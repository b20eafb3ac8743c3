# SPDX-License-Identifier: Apache-2.0
"""Whose word on a checkpoint counts: a policy file (C2SP tlog-policy), and the check of a checkpoint against it. Pure.

    log <vkey> [<url>]                     any one of these must have signed
    witness <name> <vkey> [<url>]          may cosign; the URL is where it is asked
    group <name> all|any|<k> <member>…     of witnesses and groups named above
    quorum <name>|none                     who must have cosigned; exactly one such line

Octets beyond ASCII are opaque, in names too. A line that is wrong is refused with its number.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit

from audit import notes
from audit.notes import COSIGNATURE, ED25519, BadNote, Checkpoint, Verifier
from kernel.errors import Invalid, SettingError

MAX_POLICY_BYTES = 64 * 1024
NONE = "none"


class BadPolicy(Invalid):
    """A policy file that is not well formed; says which line."""

    slug = "bad-policy"


@dataclass(frozen=True, slots=True)
class Witness:
    """A witness as the policy names it, its key, and where it is asked (None: only checked)."""

    name: str
    key: Verifier
    url: str | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """So many of these members, each a witness or another group, make one."""

    threshold: int
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Policy:
    """Which logs are accepted, who may cosign, and how many must."""

    logs: tuple[Verifier, ...] = ()
    witnesses: tuple[Witness, ...] = ()
    groups: dict[str, Group] = field(default_factory=dict)
    quorum: str = NONE

    @property
    def asks_for_cosignatures(self) -> bool:
        return self.quorum != NONE

    def is_met(self, cosigned: Collection[Verifier]) -> bool:
        """Whether these keys' cosignatures make the quorum."""
        return self.quorum == NONE or self._has_witnessed(self.quorum, cosigned)

    def _has_witnessed(self, name: str, cosigned: Collection[Verifier]) -> bool:
        group = self.groups.get(name)
        if group is None:
            return any(witness.name == name and witness.key in cosigned for witness in self.witnesses)
        return sum(self._has_witnessed(member, cosigned) for member in group.members) >= group.threshold


NO_QUORUM = Policy()


def read(file: Path) -> Policy:
    """The policy in a file; raises SettingError naming the file and the line."""
    try:
        return parse(file.read_bytes())
    except BadPolicy as error:
        raise SettingError(f"{file}: {error.detail}") from error


def parse(content: bytes) -> Policy:
    """A policy from the bytes of its file. Raises BadPolicy naming the line."""
    if len(content) > MAX_POLICY_BYTES:
        raise BadPolicy(f"a policy is at most {MAX_POLICY_BYTES} bytes")
    *lines, rest = content.decode("utf-8", "surrogateescape").split("\n")
    if rest:
        raise BadPolicy(f"line {len(lines) + 1}: it does not end: is the file whole?")
    policy, quorums = Policy(), 0
    for number, line in enumerate(lines, 1):
        try:
            words = _words(line)
            quorums += words[:1] == ["quorum"]
            if quorums > 1:
                raise BadPolicy("a second quorum line")
            policy = _add(policy, words) if words else policy
        except (BadPolicy, BadNote) as error:
            told = error.detail.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
            raise BadPolicy(f"line {number}: {told}") from error
    if not quorums:
        raise BadPolicy("there is no quorum line; `quorum none` asks for no cosignature")
    return policy


def vouched(note: str, logs: Iterable[Verifier], policy: Policy = NO_QUORUM) -> Checkpoint:
    """The checkpoint of a note that a log's own key signed and a quorum cosigned (C2SP tlog-proof, steps 2 and 3).

    Raises BadNote saying who is missing.
    """
    accepted = (*logs, *policy.logs)
    text, found = notes.verified(note, (*accepted, *(witness.key for witness in policy.witnesses)))
    checkpoint, signed = notes.parse_checkpoint(text), {key for key, _ in found}
    if not any(key in signed and key.name == checkpoint.origin for key in accepted):
        raise BadNote(f"no key of the log {checkpoint.origin} that is accepted here signed this checkpoint")
    if not policy.is_met(signed):
        names = ", ".join(witness.name for witness in policy.witnesses if witness.key in signed) or "no one"
        raise BadNote(f"the checkpoint is cosigned by {names}: the policy asks for {policy.quorum}")
    return checkpoint


def use(policy: Policy) -> None:
    """From now on this process shows only checkpoints that the policy's quorum cosigned."""
    global _current
    _current = policy


def current() -> Policy:
    """The process's policy; without one no cosignature is asked for."""
    return _current


_current = NO_QUORUM


def _words(line: str) -> list[str]:
    """The items of a line, none where it is empty or a comment; spaces and tabs stand between, and nothing else."""
    if any((character < " " and character != "\t") or character == "\x7f" for character in line):
        raise BadPolicy("a control character")
    words = [word for word in line.replace("\t", " ").split(" ") if word]
    return [] if words and words[0].startswith("#") else words


def _add(policy: Policy, words: list[str]) -> Policy:
    kind, *rest = words
    if kind == "log":
        return _add_log(policy, rest)
    if kind == "witness":
        return _add_witness(policy, rest)
    if kind == "group":
        return _add_group(policy, rest)
    if kind == "quorum":
        if len(rest) != 1:
            raise BadPolicy("quorum <name>")
        if rest[0] != NONE:
            _require_defined(policy, rest[0])
        return replace(policy, quorum=rest[0])
    raise BadPolicy("a line begins with log, witness, group, quorum or #")


def _add_log(policy: Policy, rest: list[str]) -> Policy:
    if len(rest) not in (1, 2):
        raise BadPolicy("log <vkey> [<url>]")
    key = _key(rest[0], ED25519, "a log's")
    if any(key.key == other.key for other in policy.logs):
        raise BadPolicy("the key of a log named above")
    return replace(policy, logs=(*policy.logs, key))


def _add_witness(policy: Policy, rest: list[str]) -> Policy:
    if len(rest) not in (2, 3):
        raise BadPolicy("witness <name> <vkey> [<url>]")
    _require_free(policy, rest[0])
    key = _key(rest[1], COSIGNATURE, "a witness's")
    if any(key.key == other.key.key for other in policy.witnesses):
        raise BadPolicy("the key of a witness named above")
    url = rest[2].rstrip("/") if len(rest) == 3 else None
    if url is not None and (urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).netloc):
        raise BadPolicy("the URL of a witness begins with https:// or http://")
    return replace(policy, witnesses=(*policy.witnesses, Witness(rest[0], key, url)))


def _add_group(policy: Policy, rest: list[str]) -> Policy:
    if len(rest) < 3:
        raise BadPolicy("group <name> all|any|<k> <member>…, with at least one member")
    name, told, *members = rest
    _require_free(policy, name)
    taken = {member for group in policy.groups.values() for member in group.members}
    for member in members:
        _require_defined(policy, member)
        if member in taken:
            raise BadPolicy(f"{member} is a member already: it can count only once")
        taken.add(member)
    threshold = {"all": len(members), "any": 1}.get(told) or _number(told)
    if not 1 <= threshold <= len(members):
        raise BadPolicy(f"all, any, or a number from 1 to {len(members)}")
    return replace(policy, groups={**policy.groups, name: Group(threshold, tuple(members))})


def _key(text: str, kind: int, whose: str) -> Verifier:
    key = notes.parse_key(text)
    if key.kind != kind:
        raise BadPolicy(f"not {whose} key: an Ed25519 key of kind {kind} is expected, and this is of kind {key.kind}")
    return key


def _number(told: str) -> int:
    return int(told) if told.isascii() and told.isdigit() and len(told) < 6 else 0


def _require_free(policy: Policy, name: str) -> None:
    if name == NONE or name in policy.groups or any(name == witness.name for witness in policy.witnesses):
        raise BadPolicy(f"the name {name} is taken")


def _require_defined(policy: Policy, name: str) -> None:
    if name not in policy.groups and all(name != witness.name for witness in policy.witnesses):
        raise BadPolicy(f"{name} is no witness or group named above")
