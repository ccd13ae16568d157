"""What a failed command shows: one line and a hint, or with --json the same problem document the HTTP routes give."""

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import rich_click as click

from appliance.errors import ApplianceError, ConfigError

DONE, FAILED, WRONG_USAGE, PARTLY, INTERRUPTED = 0, 1, 2, 3, 130


class Problem(Exception):
    """An RFC 9457 problem: made here, or received from the routes (`document` then is theirs)."""

    def __init__(
        self,
        message: str,
        *,
        code: str = "failed",
        status: int = 500,
        hint: str = "",
        document: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.code, self.status, self.hint = code, status, hint
        made = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": message}
        self.document: dict[str, Any] = dict(document) if document else {**made, "code": code, "hint": hint}

    @classmethod
    def of(cls, error: ApplianceError) -> "Problem":
        """The same problem the routes would give for this error."""
        problem = cls(str(error), code=error.code, status=error.status, hint=error.hint)
        if isinstance(error, ConfigError):
            lines = [(line.split(" ", 1)[0].rstrip(":"), line) for line in error.problems]
            problem.document["errors"] = [{"field": field, "message": line} for field, line in lines]
        return problem

    @classmethod
    def received(cls, status: int, body: bytes) -> "Problem":
        """A problem document as it came over the wire; a body that is none is quoted."""
        try:
            document = json.loads(body)
        except ValueError:
            document = None
        if not isinstance(document, dict) or "detail" not in document:
            return cls(f"The server answered {status}: {body[:200].decode('utf-8', 'replace')}", status=status)
        return cls.of_document(document)

    @classmethod
    def of_document(cls, document: Mapping[str, Any]) -> "Problem":
        """A problem document as the routes give it."""
        return cls(
            str(document.get("detail", document)),
            code=str(document.get("code", "failed")),
            status=int(document.get("status", 500)),
            hint=str(document.get("hint") or ""),
            document=document,
        )

    @property
    def exit_code(self) -> int:
        """2 when the caller must correct what was written (arguments, filters, settings), 1 for everything else."""
        return WRONG_USAGE if self.status in {400, 405, 422} or self.code == ConfigError.default_code else FAILED


def report(problem: Problem, *, as_json: bool) -> None:
    """Print the problem: a red line and a hint on stderr, or one JSON document on stdout."""
    if as_json:
        click.echo(json.dumps(problem.document, ensure_ascii=False, indent=2))
        return
    click.secho(f"error: {problem}", fg="red", err=True)
    for item in problem.document.get("errors") or ():
        if problem.code != ConfigError.default_code:
            click.echo(f"  {item.get('field') or 'request'}: {item.get('message')}", err=True)
    if problem.hint:
        click.echo(f"hint: {problem.hint}", err=True)
