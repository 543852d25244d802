"""docs/asyncapi.json, as tests ask it: which messages there are, and which of them a document is."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from jsonschema import Draft7Validator

__all__ = ["DOCUMENT", "AsyncApi"]

DOCUMENT = Path(__file__).parents[1] / "docs" / "asyncapi.json"


def _closed(schema: Any) -> Any:
    """The schema without room for what it does not name.

    Readers of the document must ignore what they do not know; the gateway itself must send nothing unknown.
    """
    if isinstance(schema, list):
        return [_closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {name: _closed(one) for name, one in schema.items()}
    if isinstance(schema.get("properties"), dict):
        closed.setdefault("additionalProperties", False)
    return closed


class AsyncApi:
    """The document, with schemas that allow nothing unknown."""

    def __init__(self) -> None:
        self.document: dict[str, Any] = json.loads(DOCUMENT.read_text("utf-8"))
        self.messages: Mapping[str, dict[str, Any]] = self.document["components"]["messages"]
        self._components = _closed(self.document["components"])

    def names(self, action: str, channel: str) -> list[str]:
        """The messages that the gateway sends, replies included, or receives there."""
        names: list[str] = []
        for operation in self.document["operations"].values():
            if operation["channel"]["$ref"] != f"#/channels/{channel}":
                continue
            if operation["action"] == action:
                names += _last(operation["messages"])
            if action == "send" and "reply" in operation:
                names += _last(operation["reply"]["messages"])
        return names

    def replies(self, name: str) -> list[str]:
        """What a client's message is answered with; nothing, for most."""
        for operation in self.document["operations"].values():
            if operation["action"] == "receive" and name in _last(operation["messages"]):
                return _last(operation.get("reply", {}).get("messages", []))
        raise AssertionError(f"no operation receives {name}")

    def examples(self, name: str) -> list[Any]:
        """Payloads of a message."""
        return [example["payload"] for example in self.messages[name].get("examples", [])]

    def members(self, name: str) -> set[str]:
        """The members that a message may have."""
        return set(self.messages[name]["payload"].get("properties", {}))

    def faults(self, name: str, payload: Any) -> list[str]:
        """Why a payload is not this message."""
        return self._faults(f"messages/{name}/payload", payload)

    def which(self, names: Iterable[str], payload: Any) -> list[str]:
        """Which of these messages a payload may be."""
        return [name for name in names if not self.faults(name, payload)]

    def header_faults(self, name: str, headers: Mapping[str, str]) -> list[str]:
        """Why these headers do not belong to such a message.

        :param headers: lower-case names.
        """
        known = {
            one.lower(): one for one in self.document["components"]["schemas"]["WebhookHeaders"]["properties"]
        }
        spelled = {known.get(header, header): value for header, value in headers.items()}
        return self._faults(f"messages/{name}/headers", spelled)

    @property
    def close_codes(self) -> set[int]:
        """The codes with which the gateway closes."""
        return {row["code"] for row in self.document["channels"]["client"]["x-close-codes"]}

    def _faults(self, where: str, value: Any) -> list[str]:
        schema = {"allOf": [{"$ref": f"#/components/{where}"}], "components": self._components}
        return [f"{error.json_path}: {error.message}" for error in Draft7Validator(schema).iter_errors(value)]


def _last(references: Iterable[Mapping[str, str]]) -> list[str]:
    return [reference["$ref"].rpartition("/")[2] for reference in references]
