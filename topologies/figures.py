"""Figures: values with the evidence for them, the source, and how soft they are.

Every number of a machine description is one::

    bandwidth = { value = "450 GB/s", evidence = "vendor", source = "..." }

Evidence, from strong to weak: ``measured``, ``vendor``, ``derived`` (arithmetic
on figures of the first two kinds), ``assumed`` (then ``low`` and ``high`` are a
must). This module imports pydantic; import it only where a description is read.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, model_validator

from topologies import units

__all__ = [
    "EVIDENCE",
    "Bandwidth",
    "Count",
    "Efficiency",
    "Evidence",
    "Figure",
    "Latency",
    "Part",
    "Ratio",
    "Size",
    "Speed",
    "Text",
    "Wiring",
]

#: Grades of evidence, from strong to weak.
EVIDENCE = ("measured", "vendor", "derived", "assumed")

Text: TypeAlias = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
Evidence: TypeAlias = Literal["measured", "vendor", "derived", "assumed"]


class Part(BaseModel):
    """A table of a description: frozen, and without keys that nobody knows."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Figure(Part):
    """A value with the evidence for it.

    Attributes
    ----------
    value : number or str
        In SI units (bytes, bytes/s, seconds, FLOP/s) once read.
    evidence, source : str
    low, high : same as `value`, optional
        Ends of the range that is plausible; both or neither.
    """

    value: Any
    evidence: Evidence
    source: Text
    low: Any = None
    high: Any = None

    @model_validator(mode="after")
    def _range(self) -> Figure:
        if (self.low is None) != (self.high is None):
            raise ValueError("has only one of low and high; give both or neither")
        if self.evidence == "assumed" and self.low is None:
            raise ValueError("is assumed, so it needs low and high; give the range you hold for plausible")
        if self.low is not None and not self.low <= self.value <= self.high:
            raise ValueError(f"low ({self.low}) <= value ({self.value}) <= high ({self.high}) does not hold")
        return self

    def at(self, estimate: str) -> Any:
        """Value at the ``"low"``, ``"nominal"`` or ``"high"`` estimate of the machine's speed."""
        if self.low is None or estimate == "nominal":
            return self.value
        return self.low if estimate == "low" else self.high

    def text(self, value: Any = None) -> str:
        """The value (or another of its kind) for people, with its unit."""
        return f"{self.value if value is None else value:g}"


def _rate(x: object) -> float:
    return units.bandwidth(x)


def _time(x: object) -> float:
    return units.duration(x, name="latency")


def _bytes(x: object) -> float:
    return units.size(x)


class Bandwidth(Figure):
    """Bytes/s of one direction, as the datasheet says: never scaled by an efficiency."""

    value: Annotated[float, BeforeValidator(_rate)]
    low: Annotated[float, BeforeValidator(_rate)] | None = None
    high: Annotated[float, BeforeValidator(_rate)] | None = None

    def text(self, value: Any = None) -> str:
        """The bandwidth with its unit."""
        return units.format_bandwidth(self.value if value is None else value)


class _LessIsFaster(Figure):
    def at(self, estimate: str) -> Any:
        """Value at an estimate of the machine's speed: the low estimate has the high end."""
        return super().at({"low": "high", "high": "low"}.get(estimate, estimate))


class Latency(_LessIsFaster):
    """Seconds; of a link, with the switch at its head."""

    value: Annotated[float, BeforeValidator(_time)]
    low: Annotated[float, BeforeValidator(_time)] | None = None
    high: Annotated[float, BeforeValidator(_time)] | None = None

    def text(self, value: Any = None) -> str:
        """The latency with its unit."""
        return units.format_time(self.value if value is None else value)


class Size(Figure):
    """Bytes."""

    value: Annotated[float, BeforeValidator(_bytes)]
    low: Annotated[float, BeforeValidator(_bytes)] | None = None
    high: Annotated[float, BeforeValidator(_bytes)] | None = None

    def text(self, value: Any = None) -> str:
        """The size with its unit."""
        return units.format_size(self.value if value is None else value)


_Positive: TypeAlias = Annotated[float, Field(gt=0)]
_Share: TypeAlias = Annotated[float, Field(gt=0, le=1)]
_Whole: TypeAlias = Annotated[int, Field(ge=1, strict=True)]


class Speed(Figure):
    """FLOP/s."""

    value: _Positive
    low: _Positive | None = None
    high: _Positive | None = None

    def text(self, value: Any = None) -> str:
        """The speed in TFLOP/s."""
        return f"{(self.value if value is None else value) / 1e12:g} TFLOP/s"


class Efficiency(Figure):
    """Measured share of the datasheet bandwidth that payload gets."""

    value: _Share
    low: _Share | None = None
    high: _Share | None = None


class Ratio(_LessIsFaster):
    """Oversubscription: bandwidth down over bandwidth up."""

    value: _Positive
    low: _Positive | None = None
    high: _Positive | None = None


class Count(Figure):
    """A whole number of things."""

    value: _Whole
    low: _Whole | None = None
    high: _Whole | None = None


class Wiring(Figure):
    """Text that says how things are joined; it has no low and high."""

    value: Text
    evidence: Literal["measured", "vendor", "derived"]
    low: None = None
    high: None = None

    def text(self, value: Any = None) -> str:
        """The text itself."""
        return str(self.value)
