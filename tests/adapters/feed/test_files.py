import json

import pytest

from cosim.adapters.feed.files import GrowingFile
from cosim.adapters.feed.payload import Decoder, FedPort, Kind, Sample
from cosim.adapters.feed.specification import Stream
from cosim.core import Clock, InputFileError

CLOCK = Clock("2025-01-15", hours=2, zone="Europe/Madrid")
START = CLOCK.start_utc.timestamp()


def opened(path, limit=200, **stream):
    value = {"port": "w.t", "path": "t", "unit": "degC", "label": "x"}
    described = Stream.model_validate({"file": str(path), "time": "at", "values": [value], **stream})
    return GrowingFile(path, Decoder(described, {"w.t": FedPort("degC", ("x",))}, CLOCK), limit)


def values(file):
    found, at_end = file.read(0.0, 1000)
    assert at_end
    return [one.value if isinstance(one, Sample) else one.kind for row in found for one in row]


def line(value):
    return json.dumps({"at": START, "t": value}) + "\n"


def test_lines_are_read_as_they_are_completed(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text(line(1) + line(2)[:10])
    file = opened(path)
    assert values(file) == [1]
    with path.open("a") as more:
        more.write(line(2)[10:] + "\n" + line(3))
    assert values(file) == [2, 3]
    assert values(file) == []


def test_a_file_that_became_shorter_is_read_again(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text(line(1) + line(2))
    file = opened(path)
    values(file)
    path.write_text(line(3))
    assert values(file) == [3]
    assert file.shrunk


def test_lines_that_are_too_long_are_skipped_in_bounded_memory(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text(line(1) + "x" * 1_000_000 + "\n" + line(2))
    assert values(opened(path)) == [1, Kind.TOO_LARGE, 2]


def test_the_last_line_of_a_finished_file_needs_no_end(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text(line(1).strip())
    assert values(opened(path)) == []
    assert values(opened(path, grows=False)) == [1]


def test_csv_is_read_by_its_header(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(f"\ufeffat;t;note\r\n{START};21.5;a\r\n{START};;b\r\n{START}\r\n{START};x;c\r\n")
    assert values(opened(path, payload="csv")) == [21.5, Kind.NO_VALUE, Kind.MALFORMED, Kind.MALFORMED]


def test_csv_without_a_named_column_is_refused(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("when,t\n1,2\n")
    with pytest.raises(InputFileError, match="has no column 'at', which its stream names; it has when, t"):
        values(opened(path, payload="csv"))


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(InputFileError, match=r"cannot read the stream .*none.jsonl: No such file"):
        opened(tmp_path / "none.jsonl")


def test_reading_goes_on_where_it_was_saved(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text(line(1) + line(2)[:5])
    file = opened(path)
    values(file)
    kept = json.loads(json.dumps(file.save()))
    path.write_text(line(1) + line(2))
    again = opened(path)
    again.load(kept)
    assert values(again) == [2]
