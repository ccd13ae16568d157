"""Files of an operator's own questions: plain, or JSON lines."""

import json
from pathlib import Path
from typing import Any

from appliance.cli.problem import Problem


def read_questions(path: Path) -> list[dict[str, Any]]:
    """One question a line; a line that begins with `{` is JSON. Raises Problem for what cannot be read."""
    found: list[dict[str, Any]] = []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise Problem(f"{path} cannot be read: {error}", code="invalid_request", status=400) from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            asked = json.loads(line) if line.lstrip().startswith("{") else {"question": line.strip()}
        except ValueError as error:
            hint = 'Write lines like {"question": "…", "source": "report.pdf"}, or one plain question a line.'
            message = f"{path}, line {number} is not JSON: {error}"
            raise Problem(message, code="invalid_request", status=400, hint=hint) from error
        found.append(asked)
    return found
