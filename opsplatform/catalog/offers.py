"""offer.yaml: what a module is called, how its form looks, and what it may do."""

import re
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

FILE_NAME = "offer.yaml"
LONGEST = 64_000

Name = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_-]{0,63}$")]
Environment = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,30}$")]
Label = Annotated[str, Field(min_length=1, max_length=100)]
ComponentType = Literal[
    "TextField",
    "TextareaField",
    "NumberField",
    "MoneyField",
    "DDSelectField",
    "DDMultiSelectField",
    "DDDateField",
    "DDDateRangeField",
    "PhoneField",
    "InnerContactField",
    "DepartmentField",
    "AddressField",
    "TableField",
]


class OfferError(Exception):
    """offer.yaml is missing or wrong; the text names the key."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Texts(_Strict):
    """One text in both languages."""

    zh: Annotated[str, Field(min_length=1, max_length=500)]
    en: Annotated[str, Field(max_length=500)] = ""


class FormField(_Strict):
    """How one input stands on the form."""

    label: Label
    type: ComponentType = "TextField"
    component: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    biz_alias: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    variable: Name | None = None
    options: dict[str, str | int | float | bool] = {}
    columns: dict[str, Label] = {}

    @property
    def reference(self) -> str:
        """What finds the component on a form."""
        return self.component or self.biz_alias or self.label


class Apply(_Strict):
    """What may apply without a second look after a plan had to be made again."""

    on_agree: Literal["create_only", "never"] = "never"


class LimitRules(_Strict):
    """Bounds of one run."""

    max_resources: int = Field(default=50, ge=1, le=10_000)
    actions: list[Literal["create", "update", "delete"]] = Field(default=["create", "update"], min_length=1)
    plan_minutes: int = Field(default=10, ge=1, le=240)
    apply_minutes: int = Field(default=60, ge=1, le=1440)
    memory_mb: int = Field(default=2048, ge=128, le=65_536)
    cpu_seconds: int = Field(default=3600, ge=1, le=86_400)
    disk_mb: int = Field(default=1024, ge=16, le=65_536)


class Allow(_Strict):
    """What a reviewed module may use beyond what every module may."""

    providers: list[Annotated[str, Field(pattern=r"^[a-z0-9.-]+(/[a-z0-9_-]+){1,2}$")]] = []
    data_sources: list[Name] = []
    functions: list[Name] = []
    provisioners: list[Name] = []


class EnvironmentField(_Strict):
    """The form component that chooses the environment."""

    label: Label
    component: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    options: dict[str, Environment] = {}


class Offer(_Strict):
    """All of offer.yaml."""

    title: Texts
    description: Texts | None = None
    process_code: Annotated[str, Field(min_length=1, max_length=128)] | None = None
    form: dict[Name, FormField] = {}
    environments: Annotated[list[Environment], Field(min_length=1)] = ["default"]
    environment_field: EnvironmentField | None = None
    apply: Apply = Apply()
    limits: LimitRules = LimitRules()
    allow: Allow = Allow()
    lease_days: Annotated[int, Field(ge=1, le=3650)] | None = None


class _Loader(yaml.SafeLoader):
    """Safe YAML that refuses a key given twice, and aliases, whose expansion can be made huge."""

    def compose_node(self, parent: Any, index: Any) -> Any:  # noqa: ANN401 - the library's signature
        if self.check_event(yaml.AliasEvent):
            raise OfferError("aliases (*name) are not allowed")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002 - the library's signature
        keys = [key.value for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise OfferError(f"the key {key} stands there twice")
        return super().construct_mapping(node, deep)


def read_offer(content: bytes) -> Offer:
    """The offer, or OfferError with every key that is wrong."""
    if len(content) > LONGEST:
        raise OfferError(f"the file is longer than {LONGEST:,} bytes")
    try:
        data = yaml.load(content, Loader=_Loader)  # noqa: S506 - a subclass of the safe loader
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise OfferError(f"line {mark.line + 1}: this is not valid YAML" if mark else "not valid YAML") from None
    except RecursionError:
        raise OfferError("the file is nested too deeply") from None
    try:
        return Offer.model_validate(data)
    except ValidationError as error:
        raise OfferError("; ".join(_sentence(item) for item in error.errors(include_url=False))) from None


def _sentence(error: Any) -> str:  # noqa: ANN401 - pydantic's own dict
    place = ".".join(str(part) for part in error["loc"] if not re.fullmatch(r"(str|int|float|bool)", str(part)))
    text = "there is no such key" if error["type"] == "extra_forbidden" else str(error["msg"])
    return f"{place}: {text}" if place else text
