"""Plain values: the only thing that crosses from a student's process to ours.

A value is turned into JSON with the bytes of its arrays in base64, never into a pickle. Only the
exact types below are encoded; a subclass could lie about its contents, so it crosses as its name alone.

An *observation* is what one check saw, as a dictionary with the key "saw":

    {"saw": "value", "value": ...}                       the call returned
    {"saw": "raised", "type", "message", "line", "code"} the call raised; line and code in the student's cell
    {"saw": "missing", "name", and as above}             a name is not defined: the exercise's own, or one inside it
    {"saw": "stub"}                                      the released placeholder is still there

All functions that read an encoded value expect it to come from a stranger: they check every
field and raise `ValueError` on anything else.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import math
import random
import re
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, NotRequired, TypeAlias, TypedDict, cast

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import torch

Json: TypeAlias = dict[str, Any]  # whatever else crosses a border: messages, settings, outputs
Array: TypeAlias = npt.NDArray[Any]

MAX_BYTES = 16_000_000  # of one array
MAX_DIMENSIONS = 16  # of one array
MAX_ITEMS = 10_000  # in one list or dictionary
MAX_TEXT = 20_000  # characters in one string
MAX_DEPTH = 6  # of lists in lists
MAX_NAME, MAX_MESSAGE, MAX_CODE = 200, 2_000, 500  # characters

OWN = re.compile(r"'[^']*'|\d+")  # in an error's message: names and sizes, which are the learner's own

# torch and NumPy share these names; bfloat16 and complex numbers have no place in a check.
DTYPES = frozenset(
    "bool uint8 int8 int16 int32 int64 float16 float32 float64".split()  # noqa: SIM905
)
SCALARS = frozenset(np.dtype(name).type for name in DTYPES)
# The fields of an encoded value, by its type; every other type is an array's.
FIELDS = {
    "None": {"type"},
    "bool": {"type", "data"},
    "int": {"type", "data"},
    "float": {"type", "data"},
    "str": {"type", "data"},
    "list": {"type", "items"},
    "tuple": {"type", "items"},
    "dict": {"type", "items"},
    "opaque": {"type", "name"},
}
ARRAY_TYPES = frozenset({"Tensor", "ndarray"} | {f"numpy.{name}" for name in DTYPES})
ARRAY_FIELDS = {"type", "dtype", "shape", "data"}


class Value(TypedDict):
    """An encoded value. `FIELDS` and `ARRAY_FIELDS` say which fields a value of each type has."""

    type: str
    data: NotRequired[Any]  # a number, a text (for what is not finite, too), or the bytes of an array in base64
    items: NotRequired[list[Any]]  # of a list, values; of a dictionary, pairs of a name and a value
    dtype: NotRequired[str]  # of an array
    shape: NotRequired[list[int]]
    name: NotRequired[str]  # of a type that crosses as no more than that
    salt: NotRequired[str]  # of a text that crosses as a salted hash, in place of its data
    digest: NotRequired[str]


class Observation(TypedDict):
    """What one check saw; the module's docstring says which fields each kind has."""

    saw: Literal["value", "raised", "missing", "stub"]
    value: NotRequired[Value]
    type: NotRequired[str]
    message: NotRequired[str]
    line: NotRequired[int | None]  # in the student's cell
    code: NotRequired[str]
    name: NotRequired[str]


class TooLarge(ValueError):
    """A value is beyond the limits above."""


def encode(value: object, depth: int = 0) -> Value:
    """Turn `value` into plain JSON. Unknown types become `{"type": "opaque", "name": ...}`.

    Raises:
        TooLarge: the value is beyond the limits of this module.
    """
    if depth > MAX_DEPTH:
        raise TooLarge(f"lists inside lists, more than {MAX_DEPTH} deep")
    kind = type(value)
    if value is None:
        return {"type": "None"}
    if kind is bool:
        return {"type": "bool", "data": value}
    if kind is int:
        if not _fits(value):  # type: ignore[arg-type]
            raise TooLarge("a whole number of more than 64 bits")
        return {"type": "int", "data": value}
    if kind is float or kind is np.float64:  # NumPy's is a float: `isinstance` says so, and so do all calculations
        plain = float(value)  # type: ignore[arg-type]
        return {"type": "float", "data": plain if math.isfinite(plain) else repr(plain)}
    if kind is str:
        if len(value) > MAX_TEXT:  # type: ignore[arg-type]
            raise TooLarge(f"a text of more than {MAX_TEXT} characters")
        return {"type": "str", "data": value}
    import torch  # not at the top: the trusted side only reads, and starts in two thirds of the time without

    if kind is torch.Tensor or kind is torch.nn.Parameter:
        return _encode_tensor(value)  # type: ignore[arg-type]
    if kind is np.ndarray:
        return _encode_array("ndarray", value)  # type: ignore[arg-type]
    if kind in SCALARS:
        array = np.asarray(value)
        return _encode_array(f"numpy.{array.dtype.name}", array)
    if kind is list or kind is tuple:
        items = list(value)  # type: ignore[call-overload]
        if len(items) > MAX_ITEMS:
            raise TooLarge(f"a {kind.__name__} of more than {MAX_ITEMS} items")
        return {"type": kind.__name__, "items": [encode(item, depth + 1) for item in items]}
    if kind is dict and all(type(name) is str for name in value):  # type: ignore[attr-defined]
        pairs = list(value.items())  # type: ignore[attr-defined]
        if len(pairs) > MAX_ITEMS:
            raise TooLarge(f"a dict of more than {MAX_ITEMS} items")
        return {"type": "dict", "items": [[name, encode(item, depth + 1)] for name, item in pairs]}
    return {"type": "opaque", "name": kind.__qualname__[:MAX_NAME]}


def _fits(number: int) -> bool:
    return abs(number) < 2**63


def _encode_tensor(tensor: torch.Tensor) -> Value:
    import torch

    name = str(tensor.dtype).removeprefix("torch.")
    if name not in DTYPES or tensor.layout is not torch.strided or tensor.is_meta:
        return {"type": "opaque", "name": f"Tensor of {name}"}
    if _too_large(tensor.shape, tensor.element_size()):
        raise TooLarge(f"a tensor of shape {tuple(tensor.shape)}, more than {MAX_BYTES:,} bytes")
    return _encode_array("Tensor", tensor.detach().cpu().contiguous().numpy())


def _encode_array(kind: str, array: Array) -> Value:
    if array.dtype.name not in DTYPES:
        return {"type": "opaque", "name": f"{kind} of {array.dtype.name}"}
    if _too_large(array.shape, array.itemsize):
        raise TooLarge(f"an array of shape {array.shape}, more than {MAX_BYTES:,} bytes")
    little = array.astype(array.dtype.newbyteorder("<"), copy=False)
    return {
        "type": kind,
        "dtype": array.dtype.name,
        "shape": list(array.shape),
        "data": base64.b64encode(np.ascontiguousarray(little).tobytes()).decode("ascii"),
    }


def _too_large(shape: Sequence[int], itemsize: int) -> bool:
    # A dimension of 0 counts as 1: (0, 2**70) has no entries, and no NumPy array either.
    return len(shape) > MAX_DIMENSIONS or itemsize * math.prod(max(n, 1) for n in shape) > MAX_BYTES


def is_array(value: Value) -> bool:
    """Whether an encoded value carries the bytes of an array."""
    return "dtype" in value


def opaque(value: Value) -> str:
    """The type's name of the first thing in an encoded value that crossed as no more than a name, or an empty text."""
    if value["type"] == "opaque":
        return str(value["name"])
    items = value.get("items", [])
    return next(filter(None, (opaque(item[1] if value["type"] == "dict" else item) for item in items)), "")


def array(value: Value) -> Array:
    """The array of an encoded tensor, array or NumPy scalar, read-only.

    Raises:
        ValueError: the fields contradict one another, or are not what `encode` writes.
    """
    dtype, shape, data = value.get("dtype"), value.get("shape"), value.get("data")
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise ValueError("unknown dtype")
    if not isinstance(shape, list) or not all(type(n) is int and n >= 0 for n in shape):
        raise ValueError("a shape is a list of whole numbers")
    kind = np.dtype(dtype).newbyteorder("<")
    if _too_large(shape, kind.itemsize):
        raise ValueError("the shape is too large")
    if not isinstance(data, str) or len(data) > 2 * MAX_BYTES:
        raise ValueError("array data is base64 text")
    try:
        raw = base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError("array data is not base64") from error
    if len(raw) != kind.itemsize * math.prod(shape):
        raise ValueError("the shape does not fit the data")
    if dtype == "bool" and raw.strip(b"\0\1"):
        raise ValueError("a bool is 0 or 1")
    return np.frombuffer(raw, dtype=kind).reshape(shape)


def number(value: Value) -> float:
    """The number of an encoded int, float or bool. Raises `ValueError` for anything else."""
    data = value.get("data")
    if value.get("type") == "float" and data in ("nan", "inf", "-inf"):
        return float(data)
    if type(data) is float and value.get("type") == "float" and math.isfinite(data):
        return data
    if type(data) in (int, bool) and value.get("type") == type(data).__name__ and _fits(data):  # type: ignore[arg-type]
        return float(data)  # type: ignore[arg-type]
    raise ValueError("not a number")


def observe(call: Callable[[], object], user_file: str | None = None) -> Observation:
    """Make one observation: call `call` and encode what it returns or raises.

    Args:
        call: takes nothing; everything of the student's happens inside.
        user_file: the compiler's name for the student's cells, to find the line that raised;
            by default the cells of a running notebook.

    Returns:
        An observation, as the module's docstring lists them. `SystemExit` counts as raised;
        `KeyboardInterrupt` passes through, so that a learner can stop an endless loop.
    """
    try:
        with _steady():
            value = call()
    except KeyboardInterrupt:
        raise
    except NameError as error:
        name = error.name if isinstance(error.name, str) else ""
        return {**describe_exception(error, user_file), "saw": "missing", "name": name[:MAX_NAME]}
    except NotImplementedError as error:
        return describe_exception(error, user_file) if _message(error) else {"saw": "stub"}
    except BaseException as error:
        return describe_exception(error, user_file)
    try:
        return {"saw": "value", "value": encode(value)}
    except Exception as error:  # TooLarge, or a tensor that will not be turned into an array
        return describe_exception(error, user_file)


@contextmanager
def _steady() -> Iterator[None]:
    """The same generators, gradient mode and dtype for every observation, and the learner's own given back after it."""
    import torch

    dtype, numpy_state, python_state = torch.get_default_dtype(), np.random.get_state(), random.getstate()
    try:
        with torch.random.fork_rng(devices=[]), torch.enable_grad():
            torch.set_default_dtype(torch.float32)
            torch.default_generator.manual_seed(0)  # as `fork_rng` above, for the CPU alone; for all costs far more
            np.random.seed(0)
            random.seed(0)
            yield
    finally:
        torch.set_default_dtype(dtype)
        np.random.set_state(numpy_state)
        random.setstate(python_state)


def describe_exception(error: BaseException, user_file: str | None = None) -> Observation:
    """Describe an exception: its type, its message, and the last line of the student's that was reached."""
    line, code = None, ""
    for frame in traceback.extract_tb(error.__traceback__):
        if _is_user_code(frame.filename, user_file):
            line, code = frame.lineno, frame.line or ""
    if isinstance(error, SyntaxError) and line is None:
        line, code = error.lineno, str(error.text or "").strip()
    return {
        "saw": "raised",
        "type": type(error).__name__[:MAX_NAME],
        "message": _message(error),
        "line": line,
        "code": code[:MAX_CODE],
    }


def is_memory(kind: str, message: str) -> bool:
    """Whether an error of this type and message is that memory ran out: NumPy has a type of its own, torch has none."""
    return kind.endswith("MemoryError") or (kind == "RuntimeError" and "can't allocate memory" in message)


def _message(error: BaseException) -> str:
    try:
        return str((error.msg or "") if isinstance(error, SyntaxError) else error)[:MAX_MESSAGE]
    except Exception:  # a student's own exception may fail to describe itself
        return ""


def _is_user_code(filename: str, user_file: str | None) -> bool:
    if user_file is not None:
        return filename.startswith(user_file)
    script = getattr(sys.modules.get("__main__"), "__file__", None)
    return "ipykernel_" in filename or filename.startswith("<ipython-input") or filename == script


def same(a: Observation, b: Observation, rtol: float, atol: float) -> bool:
    """Whether two observations agree: the same kind, type, shape and dtype, and numbers within
    `atol + rtol * |b|`, as in `numpy.allclose`; NaN agrees with NaN. The text of errors must be equal but for the
    names in quotes and the numbers, which are the learner's own.
    """
    if a.get("saw") != b.get("saw"):
        return False
    if a["saw"] == "value":
        return same_value(a["value"], b["value"], rtol, atol)
    words = [OWN.sub("_", str(observation.get("message"))) for observation in (a, b)]
    return words[0] == words[1] and all(a.get(field) == b.get(field) for field in ("type", "name"))


def same_value(a: Value, b: Value, rtol: float, atol: float) -> bool:
    """`same`, for two encoded values."""
    if a.get("type") != b.get("type"):
        return False
    if "digest" in b:
        digest = salted_hash(a, b["salt"])["digest"] if isinstance(a.get("data"), str) else a.get("digest")
        return bool(digest == b["digest"])
    if is_array(a) or is_array(b):
        if a.get("dtype") != b.get("dtype") or a.get("shape") != b.get("shape"):
            return False
        x, y = array(a), array(b)
        if x.dtype.kind != "f":
            return bool(np.array_equal(x, y))
        return _are_close(x.astype(np.float64), y.astype(np.float64), rtol, atol)
    if a.get("type") == "float":
        return _are_close(number(a), number(b), rtol, atol)
    if a.get("type") in ("list", "tuple"):
        pairs = list(zip(a["items"], b["items"], strict=False))
        return len(a["items"]) == len(b["items"]) and all(same_value(x, y, rtol, atol) for x, y in pairs)
    if a.get("type") == "dict":
        left, right = dict(a["items"]), dict(b["items"])
        return left.keys() == right.keys() and all(same_value(left[k], right[k], rtol, atol) for k in left)
    return a.get("data") == b.get("data") and a.get("name") == b.get("name")


def _are_close(x: Array | float, y: Array | float, rtol: float, atol: float) -> bool:
    if isinstance(x, float) and isinstance(y, float):  # numpy's way takes a hundred times as long for one number
        if math.isfinite(x) and math.isfinite(y):
            return abs(x - y) <= atol + rtol * abs(y)
        return x == y or (math.isnan(x) and math.isnan(y))
    rows = isinstance(x, np.ndarray) and isinstance(y, np.ndarray) and x.size == y.size > 0
    if rows and not _are_close(float(x.flat[0]), float(y.flat[0]), rtol, atol):  # type: ignore[union-attr]
        return False  # as a rule, the first entry settles it
    with np.errstate(over="ignore"):  # between the largest numbers of either sign
        return bool(np.allclose(x, y, rtol=rtol, atol=atol, equal_nan=True))


def salted_hash(value: Value, salt: str) -> Value:
    """A text as its salted SHA-256: it can be recognised, and not read by someone who opens the file.

    A courtesy to the learner who does not want to see the answer to a question, not a lock: four letters are soon
    tried.
    """
    digest = hashlib.sha256(f"{salt}:{value['data']}".encode()).hexdigest()
    return {"type": "str", "salt": salt, "digest": digest}


def validate_observation(observation: object) -> Observation:
    """Return what is known of an observation that came from a stranger, if it has the form that `observe` gives it.

    Raises:
        ValueError: it has not.
    """
    if not isinstance(observation, Mapping):
        raise ValueError("an observation is a dictionary")
    match observation.get("saw"):
        case "value":
            _check_value(observation.get("value"))
            return {"saw": "value", "value": observation["value"]}
        case "raised":
            return _checked_error("raised", observation)
        case "missing":
            return {**_checked_error("missing", observation), "name": _text(observation, "name", MAX_NAME)}
        case "stub":
            return {"saw": "stub"}
    raise ValueError("unknown kind of observation")


def _checked_error(saw: Literal["raised", "missing"], observation: Mapping[str, object]) -> Observation:
    line = observation.get("line")
    return {
        "saw": saw,
        "type": _text(observation, "type", MAX_NAME),
        "message": _text(observation, "message", MAX_MESSAGE),
        "line": line if type(line) is int else None,
        "code": _text({"code": "", **observation}, "code", MAX_CODE),
    }


def _text(fields: Mapping[str, object], name: str, most: int) -> str:
    text = fields.get(name)
    if not isinstance(text, str):
        raise ValueError(f"{name} is a text")
    return text[:most]


def _check_value(value: object, depth: int = 0) -> None:
    if not isinstance(value, dict) or depth > MAX_DEPTH + 1:
        raise ValueError("a value is a dictionary, not too deep")
    kind = _text(value, "type", MAX_NAME)
    fields = ARRAY_FIELDS if kind in ARRAY_TYPES else FIELDS.get(kind)
    if value.keys() != fields:
        raise ValueError("a value has the fields of its type, and no others")
    if kind in ARRAY_TYPES:
        array(cast(Value, value))
    elif kind in ("int", "float", "bool"):
        number(cast(Value, value))
    elif kind in ("str", "opaque"):
        text = value["data" if kind == "str" else "name"]
        if not isinstance(text, str) or len(text) > MAX_TEXT:
            raise ValueError("a text has characters, not too many")
    elif kind != "None":
        _check_items(value["items"], kind == "dict", depth)


def _check_items(items: object, named: bool, depth: int) -> None:
    if not isinstance(items, list) or len(items) > MAX_ITEMS:
        raise ValueError("a list has items, not too many")
    for item in items:
        if named:
            if not isinstance(item, list) or len(item) != 2 or not isinstance(item[0], str):
                raise ValueError("a dict has pairs")
            item = item[1]
        _check_value(item, depth + 1)
