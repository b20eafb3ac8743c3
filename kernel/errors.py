# SPDX-License-Identifier: Apache-2.0
"""What can go wrong, said inside. `kernel/problems.py` alone turns these into HTTP problems (RFC 9457).

Raise one of these below the web edge, never an HTTP status. `slug` is the stable last part of the problem
`type` and of a refusal's rule on the trail; `detail` is written for the caller and must hold no secret.
"""


class BureauError(Exception):
    """Something the caller can be told: `slug` names the kind, `detail` says what to do about it."""

    slug = "internal-error"

    def __init__(self, detail: str, *, slug: str | None = None, **extra: object) -> None:
        super().__init__(detail)
        self.detail = detail
        self.extra = extra
        if slug is not None:
            self.slug = slug


class Malformed(BureauError):
    """The request cannot be read: broken JSON, a missing header."""

    slug = "malformed-request"


class Invalid(BureauError):
    """The request can be read but a field is wrong; `errors` maps field → messages."""

    slug = "invalid-field"

    def __init__(self, detail: str, *, errors: dict[str, list[str]] | None = None, slug: str | None = None) -> None:
        super().__init__(detail, slug=slug, **({"errors": errors} if errors else {}))


class Unauthenticated(BureauError):
    """No token, or one that is unknown, expired or revoked."""

    slug = "invalid-token"


class NotPermitted(BureauError):
    """The caller is known and may not do this; `slug` is the rule that refused."""

    slug = "not-permitted"


class NotFound(BureauError):
    """There is no such thing, or none that the caller may know of."""

    slug = "not-found"


class Conflict(BureauError):
    """The thing is in a state that does not allow this."""

    slug = "conflict"


class Gone(BureauError):
    """It once could be had and no longer can (retention, shredding)."""

    slug = "gone"


class TooLarge(BureauError):
    """More than a stated limit."""

    slug = "too-large"


class TooMany(BureauError):
    """More of them than a limit allows in its time; `retry_after_s` says when it allows one again."""

    slug = "rate-limited"

    def __init__(self, detail: str, *, slug: str | None = None, retry_after_s: int = 1) -> None:
        super().__init__(detail, slug=slug)
        self.retry_after_s = retry_after_s


class Unavailable(BureauError):
    """The bureau cannot do this now and did nothing; try again."""

    slug = "unavailable"


class SettingError(BureauError):
    """A setting, key or data file the process cannot start with. Stops the start; names the culprit."""

    slug = "bad-setting"
