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
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch

Json: TypeAlias = dict[str, Any]
Array: TypeAlias = npt.NDArray[Any]

MAX_BYTES = 16_000_000  # of one array
MAX_ITEMS = 10_000  # in one list or dictionary
MAX_TEXT = 20_000  # characters in one string
MAX_DEPTH = 6  # of lists in lists

# torch and NumPy share these names; bfloat16 and complex numbers have no place in a check.
DTYPES = frozenset(
    "bool uint8 int8 int16 int32 int64 float16 float32 float64".split()  # noqa: SIM905
)


class TooLarge(ValueError):
    """A value is beyond the caps above."""


def encode(value: object, depth: int = 0) -> Json:
    """Turn `value` into plain JSON. Unknown types become `{"type": "opaque", "name": ...}`.

    Raises:
        TooLarge: the value is beyond the caps of this module.
    """
    if depth > MAX_DEPTH:
        raise TooLarge(f"lists inside lists, more than {MAX_DEPTH} deep")
    kind = type(value)
    if value is None:
        return {"type": "None"}
    if kind is bool or kind is int:
        if kind is int and abs(value) >= 2**63:  # type: ignore[operator]
            raise TooLarge("a whole number of more than 64 bits")
        return {"type": kind.__name__, "data": value}
    if kind is float:
        return {"type": "float", "data": value if math.isfinite(value) else repr(value)}  # type: ignore[arg-type]
    if kind is str:
        if len(value) > MAX_TEXT:  # type: ignore[arg-type]
            raise TooLarge(f"a text of more than {MAX_TEXT} characters")
        return {"type": "str", "data": value}
    if kind is torch.Tensor or kind is torch.nn.Parameter:
        return _encode_tensor(value)  # type: ignore[arg-type]
    if kind is np.ndarray or isinstance(value, np.generic):
        return _encode_array("ndarray" if kind is np.ndarray else kind.__name__, np.asarray(value))
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
    return {"type": "opaque", "name": kind.__qualname__[:200]}


def _encode_tensor(tensor: torch.Tensor) -> Json:
    name = str(tensor.dtype).removeprefix("torch.")
    if name not in DTYPES or tensor.layout is not torch.strided:
        return {"type": "opaque", "name": f"Tensor of {name}"}
    if tensor.numel() * tensor.element_size() > MAX_BYTES:
        raise TooLarge(f"a tensor of shape {tuple(tensor.shape)}, more than {MAX_BYTES:,} bytes")
    return _encode_array("Tensor", tensor.detach().cpu().contiguous().numpy())


def _encode_array(kind: str, array: Array) -> Json:
    if array.dtype.name not in DTYPES:
        return {"type": "opaque", "name": f"{kind} of {array.dtype.name}"}
    if array.nbytes > MAX_BYTES:
        raise TooLarge(f"an array of shape {array.shape}, more than {MAX_BYTES:,} bytes")
    little = array.astype(array.dtype.newbyteorder("<"), copy=False)
    return {
        "type": kind,
        "dtype": array.dtype.name,
        "shape": list(array.shape),
        "data": base64.b64encode(np.ascontiguousarray(little).tobytes()).decode("ascii"),
    }


def is_array(value: Json) -> bool:
    """Whether an encoded value carries the bytes of an array."""
    return "dtype" in value


def array(value: Json) -> Array:
    """The array of an encoded tensor, array or NumPy scalar, read-only.

    Raises:
        ValueError: the fields contradict one another, or are not what `encode` writes.
    """
    dtype, shape, data = value.get("dtype"), value.get("shape"), value.get("data")
    if dtype not in DTYPES:
        raise ValueError("unknown dtype")
    if not isinstance(shape, list) or len(shape) > 16 or not all(type(n) is int and n >= 0 for n in shape):
        raise ValueError("a shape is a list of whole numbers")
    if not isinstance(data, str) or len(data) > 2 * MAX_BYTES:
        raise ValueError("array data is base64 text")
    try:
        raw = base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError("array data is not base64") from error
    kind = np.dtype(dtype).newbyteorder("<")
    if len(raw) != kind.itemsize * math.prod(shape):
        raise ValueError("the shape does not fit the data")
    return np.frombuffer(raw, dtype=kind).reshape(shape)


def number(value: Json) -> float:
    """The number of an encoded int, float or bool. Raises `ValueError` for anything else."""
    data = value.get("data")
    if value.get("type") == "float" and data in ("nan", "inf", "-inf"):
        return float(data)
    if value.get("type") in ("int", "float", "bool") and type(data) in (int, float, bool):
        return float(data)  # type: ignore[arg-type]
    raise ValueError("not a number")


def observe(call: Callable[[], object], user_file: str | None = None) -> Json:
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
        return {**raised(error, user_file), "saw": "missing", "name": str(error.name)}
    except NotImplementedError as error:
        return raised(error, user_file) if str(error) else {"saw": "stub"}
    except BaseException as error:
        return raised(error, user_file)
    try:
        return {"saw": "value", "value": encode(value)}
    except TooLarge as error:
        return {"saw": "raised", "type": "TooLarge", "message": str(error), "line": None, "code": ""}


@contextmanager
def _steady() -> Iterator[None]:
    """The same generators, gradient mode and dtype for every observation, and the learner's own given back after it."""
    dtype, numpy_state, python_state = torch.get_default_dtype(), np.random.get_state(), random.getstate()
    try:
        with torch.random.fork_rng(devices=[]), torch.enable_grad():
            torch.set_default_dtype(torch.float32)
            torch.manual_seed(0)
            np.random.seed(0)
            random.seed(0)
            yield
    finally:
        torch.set_default_dtype(dtype)
        np.random.set_state(numpy_state)
        random.setstate(python_state)


def raised(error: BaseException, user_file: str | None = None) -> Json:
    """Describe an exception: its type, its message, and the last line of the student's that was reached."""
    line, code = None, ""
    for frame in traceback.extract_tb(error.__traceback__):
        if _is_user_code(frame.filename, user_file):
            line, code = frame.lineno, frame.line or ""
    if isinstance(error, SyntaxError) and line is None:
        line, code = error.lineno, (error.text or "").strip()
    try:
        message = error.msg if isinstance(error, SyntaxError) else str(error)
    except Exception:  # a student's own exception may fail to describe itself
        message = ""
    return {
        "saw": "raised",
        "type": type(error).__name__[:200],
        "message": message[:2_000],
        "line": line,
        "code": code[:500],
    }


def _is_user_code(filename: str, user_file: str | None) -> bool:
    if user_file is not None:
        return filename.startswith(user_file)
    main = sys.modules.get("__main__")
    return "ipykernel_" in filename or filename.startswith("<ipython-input") or filename == getattr(main, "__file__", None)


def same(a: Json, b: Json, rtol: float, atol: float) -> bool:
    """Whether two observations agree: the same kind, type, shape and dtype, and numbers within
    `atol + rtol * |b|`, as in `numpy.allclose`; NaN agrees with NaN. Text of errors must be equal.
    """
    if a.get("saw") != b.get("saw"):
        return False
    if a["saw"] == "value":
        return same_value(a["value"], b["value"], rtol, atol)
    return all(a.get(field) == b.get(field) for field in ("type", "message", "name"))


def same_value(a: Json, b: Json, rtol: float, atol: float) -> bool:
    """`same`, for two encoded values."""
    if a.get("type") != b.get("type"):
        return False
    if "digest" in b:
        digest = seal(a, b["salt"])["digest"] if isinstance(a.get("data"), str) else a.get("digest")
        return bool(digest == b["digest"])
    if is_array(a) or is_array(b):
        if a.get("dtype") != b.get("dtype") or a.get("shape") != b.get("shape"):
            return False
        x, y = array(a), array(b)
        if x.dtype.kind != "f":
            return bool(np.array_equal(x, y))
        return bool(np.allclose(x.astype(np.float64), y.astype(np.float64), rtol=rtol, atol=atol, equal_nan=True))
    if a.get("type") == "float":
        return bool(np.isclose(number(a), number(b), rtol=rtol, atol=atol, equal_nan=True))
    if a.get("type") in ("list", "tuple"):
        pairs = list(zip(a["items"], b["items"], strict=False))
        return len(a["items"]) == len(b["items"]) and all(same_value(x, y, rtol, atol) for x, y in pairs)
    if a.get("type") == "dict":
        left, right = dict(a["items"]), dict(b["items"])
        return left.keys() == right.keys() and all(same_value(left[k], right[k], rtol, atol) for k in left)
    return a.get("data") == b.get("data") and a.get("name") == b.get("name")


def seal(value: Json, salt: str) -> Json:
    """A text as its salted SHA-256: it can be recognised, and not read by someone who opens the file.

    A courtesy to the learner who does not want to see the answer of a question, not a lock: four letters are soon tried.
    """
    digest = hashlib.sha256(f"{salt}:{value['data']}".encode()).hexdigest()
    return {"type": "str", "salt": salt, "digest": digest}


def checked(observation: object) -> Json:
    """Return an observation that came from a stranger, if it has the form that `observe` gives it.

    Raises:
        ValueError: it has not.
    """
    if not isinstance(observation, Mapping):
        raise ValueError("an observation is a dictionary")
    plain = dict(observation)
    match plain.get("saw"):
        case "value":
            _check_value(plain.get("value"))
        case "raised" | "missing":
            if plain["saw"] == "missing" and not isinstance(plain.get("name"), str):
                raise ValueError("a missing name is a text")
            if not isinstance(plain.get("type"), str) or not isinstance(plain.get("message"), str):
                raise ValueError("an error has a type and a message")
            plain["line"] = plain["line"] if type(plain.get("line")) is int else None
            plain["code"] = str(plain.get("code", ""))[:500]
        case "stub":
            pass
        case _:
            raise ValueError("unknown kind of observation")
    return plain


def _check_value(value: object, depth: int = 0) -> None:
    if not isinstance(value, dict) or not isinstance(value.get("type"), str) or depth > MAX_DEPTH + 1:
        raise ValueError("a value is a dictionary with a type")
    if is_array(value):
        array(value)
    elif value["type"] in ("int", "float", "bool"):
        number(value)
    elif value["type"] in ("list", "tuple", "dict"):
        items = value.get("items")
        if not isinstance(items, list) or len(items) > MAX_ITEMS:
            raise ValueError("a list has items")
        for item in items:
            if value["type"] == "dict":
                if not isinstance(item, list) or len(item) != 2 or not isinstance(item[0], str):
                    raise ValueError("a dict has pairs")
                item = item[1]
            _check_value(item, depth + 1)
    elif value["type"] == "str" and not isinstance(value.get("data"), str):
        raise ValueError("a text has data")
