"""Every error the appliance raises on purpose, with what to do about it.

    ApplianceError
    ├── InvalidRequest          400  the caller must change something
    │   └── InvalidFilter
    ├── Unauthenticated         401
    ├── Forbidden               403
    │   └── Untrusted               no trusted signature vouches for a file
    ├── NotFound                404
    ├── Conflict                409
    ├── TooLarge                413
    ├── Overloaded              503  with retry_after_s
    │   └── TooManyRequests     429
    ├── DocumentError           422  one document cannot be read; nothing else is touched
    ├── ModelError              503  a model file is missing, torn or foreign
    ├── StorageError            503  the data directory cannot be used
    │   ├── DiskFull            507
    │   └── DataDirectoryInUse
    ├── DeadlineExceeded        504
    └── ConfigError             500  settings are wrong; all problems at once

`code` is a stable snake_case word for programs, `hint` tells a person what to do next.
"""

from collections.abc import Sequence
from typing import ClassVar


class ApplianceError(Exception):
    """What happened (the message), a stable `code`, an HTTP `status` and a `hint` on what to do."""

    status: ClassVar[int] = 500
    default_code: ClassVar[str] = "internal_error"

    def __init__(self, message: str, *, hint: str = "", code: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint
        self.code = code or self.default_code


class InvalidRequest(ApplianceError):
    status = 400
    default_code = "invalid_request"


class InvalidFilter(InvalidRequest):
    default_code = "invalid_filter"


class Unauthenticated(ApplianceError):
    status = 401
    default_code = "unauthenticated"


class Forbidden(ApplianceError):
    status = 403
    default_code = "forbidden"


class Untrusted(Forbidden):
    default_code = "untrusted"


class NotFound(ApplianceError):
    status = 404
    default_code = "not_found"


class Conflict(ApplianceError):
    status = 409
    default_code = "conflict"


class TooLarge(ApplianceError):
    status = 413
    default_code = "too_large"


class Overloaded(ApplianceError):
    """A bounded queue is full. `retry_after_s` becomes the Retry-After header."""

    status = 503
    default_code = "overloaded"

    def __init__(self, message: str, *, retry_after_s: int = 1, hint: str = "", code: str | None = None) -> None:
        super().__init__(message, hint=hint or f"Try again in {retry_after_s} s.", code=code)
        self.retry_after_s = retry_after_s


class TooManyRequests(Overloaded):
    """The caller's own queue is full: nothing is wrong with the appliance."""

    status = 429
    default_code = "too_many_requests"


class DocumentError(ApplianceError):
    """One document cannot be read.

    Codes: encrypted, torn, empty, no_text, too_large, unsupported, timeout, memory, output_limit, nested_too_deep,
    reader_crashed, unreadable. `passing` says whether a later try may succeed.
    """

    status = 422
    default_code = "unreadable"

    def __init__(self, message: str, *, code: str | None = None, hint: str = "", passing: bool = False) -> None:
        super().__init__(message, hint=hint, code=code)
        self.passing = passing


class ModelError(ApplianceError):
    status = 503
    default_code = "model_unusable"


class StorageError(ApplianceError):
    status = 503
    default_code = "storage_unusable"


class DiskFull(StorageError):
    status = 507
    default_code = "disk_full"


class DataDirectoryInUse(StorageError):
    default_code = "data_directory_in_use"


class DeadlineExceeded(ApplianceError):
    status = 504
    default_code = "deadline_exceeded"


class ConfigError(ApplianceError):
    """Every problem found in the settings, each one line that names the setting, its source and the remedy."""

    default_code = "invalid_settings"

    def __init__(self, problems: Sequence[str]) -> None:
        count = len(problems)
        super().__init__(
            f"{count} problem{'s' if count != 1 else ''} in the settings:\n" + "\n".join(f"  - {p}" for p in problems)
        )
        self.problems = tuple(problems)
        self.hint = (
            "Correct them and start again; `rag-appliance config show` prints every setting and where it came from."
        )
