"""The compiled reader of XML: what Python's parser finds, and what it refuses."""

from xml.etree.ElementTree import fromstring
from xml.parsers.expat import ExpatError

import pytest
from defusedxml import DTDForbidden

from cosim.core.markup import Reader

TEXT = (
    '<?xml version="1.0" encoding="UTF-8"?><routes><!-- <trip id="no"/> --><trip id="a &amp; b" from="ü" x="1"/>'
    '<vehicle id="c" depart="3"><route edges="e f"/></vehicle><trip id="d"/></routes>'
).encode()


def read(text, *given, size=7):
    reader = Reader(*given)
    chunks = [text[k : k + size] for k in range(0, len(text), size)]
    return [found for chunk in [*chunks, b""] for found in reader.feed(chunk)]


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_reader_finds_what_python_finds(size):
    expected = [(e.tag, e.attrib) for e in fromstring(TEXT).iter() if e.tag in ("trip", "vehicle")]
    assert read(TEXT, ("trip", "vehicle"), size=size) == expected


def test_only_wanted_attributes_of_wanted_elements_are_returned():
    assert read(TEXT, ("trip", "vehicle"), ("id", "from"), {"a & b", "c"}) == [
        ("trip", {"id": "a & b", "from": "ü"}),
        ("vehicle", {"id": "c"}),
    ]
    assert read(TEXT, ("route",), None, {"c"}) == []


@pytest.mark.parametrize("text", [b"<a><b></a>", b"<a", b"", b"\xff\xfe<", b"<a>&unknown;</a>"])
def test_malformed_documents_are_refused(text):
    with pytest.raises(ExpatError, match="line"):
        read(text, ("a",))


def test_document_types_are_refused():
    with pytest.raises(DTDForbidden):
        read(b'<!DOCTYPE a [<!ENTITY e "x">]><a/>', ("a",))


def test_errors_in_a_collection_are_passed_on():
    class Broken:
        def __contains__(self, name):
            raise RuntimeError(name)

    with pytest.raises(RuntimeError, match="a & b"):
        read(TEXT, ("trip",), None, Broken())
