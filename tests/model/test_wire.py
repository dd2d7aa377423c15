"""The frozen wire format: what was written once is read forever, and what is not a document is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from documents_of_each_type import EXAMPLES, any_document
from hypothesis import given
from hypothesis import strategies as st

from lucos.errors import InputError
from lucos.model import WIRE_VERSION, Node, Resources, VmSpec, from_json, to_json
from lucos.model import wire as wire_module

GOLDEN = Path(__file__).parent / "golden"
by_type = pytest.mark.parametrize("document", EXAMPLES, ids=lambda d: type(d).__name__)


def changed(document: msgspec.Struct, **head: Any) -> bytes:
    return json.dumps({**json.loads(to_json(document)), **head}).encode()


def test_there_is_an_example_of_every_document_type() -> None:
    assert {type(d).__name__ for d in EXAMPLES} == set(wire_module._TYPES)


@by_type
def test_the_bytes_never_change(document: msgspec.Struct) -> None:
    golden = (GOLDEN / f"{type(document).__name__}.json").read_bytes()
    assert to_json(document) == golden.rstrip(b"\n")
    assert from_json(golden, type(document)) == document


@pytest.mark.parametrize("golden", sorted((GOLDEN / "earlier").glob("*.json")), ids=lambda path: path.stem)
def test_documents_written_before_fields_were_added_still_mean_the_same(golden: Path) -> None:
    document = next(d for d in EXAMPLES if type(d).__name__ == golden.stem)
    assert from_json(golden.read_bytes(), type(document)) == document


@by_type
def test_fields_of_a_later_minor_version_are_ignored(document: msgspec.Struct) -> None:
    def with_more(value: Any) -> Any:
        if isinstance(value, list):
            return [with_more(v) for v in value]
        if isinstance(value, dict):
            more = {k: with_more(v) for k, v in value.items()}
            # Mappings from names are data, not structs: there a new key would be a new object.
            return more if set(value) & {"h1", "shop.db", "partition"} else {**more, "later": [1, {}]}
        return value

    value = with_more(json.loads(to_json(document))["value"])
    assert from_json(changed(document, value=value, later="yes"), type(document)) == document


@by_type
@pytest.mark.parametrize("version", [0, 2, "1", None, True, 1.5, [1]])
def test_another_version_is_refused_with_the_one_that_can_be_read(
    document: msgspec.Struct, version: Any
) -> None:
    with pytest.raises(InputError, match=r"version .* is not supported") as refusal:
        from_json(changed(document, lucos=version), type(document))
    assert refusal.value.hint == f"this version of luc reads version {WIRE_VERSION}"


def test_another_type_is_refused() -> None:
    with pytest.raises(InputError, match="expected a VmSpec document, found 'Node'"):
        from_json(to_json(Node("h1", Resources())), VmSpec)


def test_a_mistyped_field_is_named() -> None:
    document = to_json(VmSpec("a.b", "a", "mini", memory_mib=96))
    with pytest.raises(InputError, match=r"VmSpec document: .*\$\.memory_mib"):
        from_json(document.replace(b"96", b'"96"'), VmSpec)


def test_what_is_no_document_type_is_not_written() -> None:
    with pytest.raises(TypeError, match="Resources is not a document type"):
        to_json(Resources())


@given(any_document)
def test_every_document_comes_back_as_it_was(document: msgspec.Struct) -> None:
    assert from_json(to_json(document), type(document)) == document


@given(st.binary(max_size=40), st.sampled_from(EXAMPLES), st.data())
def test_damaged_documents_are_input_errors(junk: bytes, document: msgspec.Struct, data: Any) -> None:
    whole = to_json(document)
    at = data.draw(st.integers(0, len(whole)))
    for damaged in (junk, whole[:at], whole[:at] + junk, whole[:at] + junk + whole[at + len(junk) :]):
        try:
            value = from_json(damaged, type(document))
        except InputError:
            continue
        assert isinstance(value, type(document))


@pytest.mark.parametrize("opening", [b"[", b'{"value":', b'{"lucos":1,"type":"Node","later":['])
def test_a_bottomless_document_is_an_input_error(opening: bytes) -> None:
    with pytest.raises(InputError, match="not a valid Node document"):
        from_json(opening * 100_000, Node)
