"""One JSON-RPC method: its line in the table, and what its annotations become when the application starts.

Everything is compiled once. Params are checked as strict JSON (`"1"` is no number, `true` is no number, unknown names
are refused), results against the declared type, so that only declared members leave.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NotRequired, get_type_hints

import limits
from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError, from_json, to_json
from typing_extensions import TypedDict

from opsplatform.core.errors import InvalidParams
from opsplatform.core.rpc_errors import BadResult

LONGEST_NAME = 64
FINITE = ConfigDict(allow_inf_nan=False)
PLAIN_KINDS = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


@dataclass(frozen=True)
class Method:
    """One line of the table of methods.

    Attributes:
        name: what callers write, and at the same time the permission it needs.
        function: a plain function; its annotations are the contract.
        public: whether it may be called without a login.
        changes: whether it runs inside `transaction()` and takes a `request_id`.
        limit: as `60/minute`, per caller (or address) and method, counted per call.
        limit_by: a param whose value is limited too, as the user name of a login.
        outside: whether it does something elsewhere that no rollback takes back: a `request_id` is then reserved
            before it runs.
        any_text: whether texts may hold the character U+0000, which PostgreSQL does not store.
    """

    name: str
    function: Callable[..., Any]
    public: bool = False
    changes: bool = False
    limit: str | None = None
    limit_by: str | None = None
    any_text: bool = False
    outside: bool = False


class Entry:
    """A method with everything that is known about it before the first call."""

    def __init__(self, method: Method) -> None:
        _refuse_unusable(method)
        self.method = method
        self.limit = limits.parse(method.limit) if method.limit else None
        self.hints = get_type_hints(method.function, include_extras=True)
        self.result_type = self.hints.pop("return")
        self.parameters = inspect.signature(method.function).parameters
        self._names = tuple(self.parameters)
        self._params: TypeAdapter[Any] = TypeAdapter(self._params_type())
        self._result: TypeAdapter[Any] = TypeAdapter(_closed("Result", {"result": self.result_type}))

    @cached_property
    def doc(self) -> str:
        """The docstring of the function."""
        return inspect.getdoc(self.method.function) or ""

    def name_params(self, params: list[Any] | dict[str, Any]) -> dict[str, Any]:
        """Params by name, however they were sent."""
        if isinstance(params, dict):
            return params
        if len(params) > len(self._names):
            raise InvalidParams({"params": [f"At most {len(self._names)} values are taken, {len(params)} were sent"]})
        return dict(zip(self._names, params, strict=False))

    def bind(self, named: dict[str, Any]) -> dict[str, Any]:
        """What the function is called with: the values that were sent, or every mistake in them at once."""
        if not named and not self._names:
            return named
        text = to_json(named, inf_nan_mode="constants")
        self._refuse_unstorable(text, named)
        try:
            values: dict[str, Any] = self._params.validate_json(text, strict=True, extra="forbid")
        except ValidationError as error:
            raise InvalidParams(_by_path(error)) from None  # the error holds the input, which may be a password
        return values

    def dump(self, value: object) -> bytes:
        """The member `"result":…` of an answer, or BadResult."""
        try:
            checked = self._result.validate_python({"result": value}, strict=True, extra="forbid")
            return self._result.dump_json(checked, warnings="error")[1:-1]
        except ValidationError as error:
            raise BadResult(f"{self.method.name} broke its declared result: {_by_path(error)}") from None
        except PydanticSerializationError:
            raise BadResult(f"{self.method.name} answered what is no JSON") from None

    def _params_type(self) -> Any:  # noqa: ANN401 - a type made at run time
        fields = {
            name: self.hints[name] if parameter.default is parameter.empty else NotRequired[self.hints[name]]
            for name, parameter in self.parameters.items()
        }
        return _closed("Params", fields)

    def _refuse_unstorable(self, text: bytes, named: dict[str, Any]) -> None:
        """Refuse what is valid JSON and no database or JSON writer takes: infinity (as `1e400`) and U+0000."""
        if b"Infinity" in text:
            try:
                from_json(text, allow_inf_nan=False)
            except ValueError:
                raise InvalidParams({"params": ["Numbers must be finite"]}) from None
        if not self.method.any_text and b"\\u0000" in text:
            errors = {name: ["Text must not hold the character U+0000"] for name in named if _has_nul(named[name])}
            if errors:
                raise InvalidParams(errors)


def _refuse_unusable(method: Method) -> None:
    """Stop the start when a method could not work as declared; the text names it."""
    if not inspect.isfunction(method.function) or inspect.iscoroutinefunction(method.function):
        raise TypeError(f"{method.name}: a method is a plain function, neither bound nor partial nor async")
    if not method.name or len(method.name) > LONGEST_NAME:
        raise ValueError(f"{method.name}: the name of a method has 1 to {LONGEST_NAME} characters")
    hints = get_type_hints(method.function, include_extras=True)
    if "return" not in hints:
        raise TypeError(f"{method.name}: the return annotation is missing")
    for name, parameter in inspect.signature(method.function).parameters.items():
        if parameter.kind not in PLAIN_KINDS:
            raise TypeError(f"{method.name}: {name} must be a plain parameter, without * and /")
        if name not in hints:
            raise TypeError(f"{method.name}: {name} has no annotation")
        if name in _reserved(method):
            raise TypeError(f"{method.name}: {name} is taken by the dispatcher")


def _reserved(method: Method) -> list[str]:
    return ([] if method.public else ["token"]) + (["request_id"] if method.changes else [])


def _closed(name: str, fields: Mapping[str, Any]) -> Any:  # noqa: ANN401 - a type made at run time
    """A typed dict and no model: a param may be called `json` or `copy`."""
    make: Any = TypedDict  # a name known only at run time is beyond its declared type
    made = make(name, dict(fields))
    made.__pydantic_config__ = FINITE
    return made


def _by_path(error: ValidationError) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for one in error.errors(include_input=False, include_url=False, include_context=False):
        path = ".".join(str(part) for part in one["loc"]) or "params"
        found.setdefault(path, []).append(one["msg"])
    return found


def _has_nul(value: object) -> bool:
    if isinstance(value, str):
        return "\0" in value
    if isinstance(value, list):
        return any(_has_nul(item) for item in value)
    return isinstance(value, dict) and any(_has_nul(part) for pair in value.items() for part in pair)
