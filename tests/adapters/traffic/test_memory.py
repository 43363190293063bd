"""The allocator that is preloaded into SUMO's program, in a Python whose every object comes from it."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from cosim.adapters.traffic import Traffic
from cosim.adapters.traffic.session import private_connection
from tests.support.traffic_runs import make_town

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="preloaded on Linux alone")


def run_preloaded(code, before=None):
    environment = os.environ | {"LD_PRELOAD": str(private_connection()), "PYTHONMALLOC": "malloc"}
    command = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, preexec_fn=before)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


BLOCKS = """
    import ctypes, random
    c = ctypes.CDLL(None)
    for name in ("malloc", "calloc", "realloc", "aligned_alloc", "memalign", "valloc", "pvalloc"):
        getattr(c, name).restype = ctypes.c_void_p
    word = ctypes.c_size_t
    c.free.argtypes = [ctypes.c_void_p]
    c.realloc.argtypes = [ctypes.c_void_p, word]
    c.malloc_usable_size.argtypes = [ctypes.c_void_p]
    c.malloc_usable_size.restype = word
    draw = random.Random(1)
    live = {}
    def fill(block, size, mark):
        ctypes.memset(block, mark, size)
        live[block] = size, mark
    def check(block):
        size, mark = live.pop(block)
        assert ctypes.string_at(block, size) == bytes([mark]) * size
        return size, mark
    for k in range(20_000):
        size, mark = draw.choice((0, 1, 15, 16, 17, 100, 1023, 1024, 1025, 5000)), k % 256
        way = draw.randrange(5)
        if way == 0:
            block = c.malloc(word(size))
        elif way == 1:
            block = c.calloc(word(1), word(size))
            assert not any(ctypes.string_at(block, size))
        elif way == 2:
            block = c.aligned_alloc(word(64), word(size))
            assert block % 64 == 0
        elif way == 3 and live:
            old = draw.choice(list(live)) if len(live) < 50 else next(iter(live))
            had, before = check(old)
            block = c.realloc(old, word(max(size, 1)))
            assert ctypes.string_at(block, min(had, size)) == bytes([before]) * min(had, size)
        else:
            if live:
                old = next(iter(live))
                check(old)
                c.free(old)
            continue
        assert block % 16 == 0 and block not in live
        assert c.malloc_usable_size(block) >= size
        fill(block, size, mark)
    for block in sorted(live):
        check(block)
    c.free(None)
    assert c.calloc(word(2**63), word(4)) is None
    assert c.malloc(word(2**62)) is None
    print("checked", len(live))
"""


def test_blocks_are_aligned_apart_and_keep_their_contents():
    assert run_preloaded(BLOCKS)[0] == "checked"


def test_blocks_come_from_the_c_library_where_the_address_space_is_limited():
    resource = pytest.importorskip("resource")
    limit = 4 << 30
    assert run_preloaded(BLOCKS, lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)))[0] == "checked"


def test_threads_may_free_blocks_of_each_other():
    code = """
        import queue, threading
        passed = queue.Queue(100)
        def make():
            for k in range(20_000):
                passed.put([k] * (k % 90))
            passed.put(None)
        found = []
        def use():
            while (rows := passed.get()) is not None:
                found.append(sum(rows))
        threads = [threading.Thread(target=f) for f in (make, use)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        print(sum(found) == sum(k * (k % 90) for k in range(20_000)))
    """
    assert run_preloaded(code) == ["True"]


def test_the_code_of_sumo_lies_in_pages_without_a_file(tmp_path):
    town = make_town(tmp_path)
    adapter = Traffic(town / "run.sumocfg", connection="traci")
    adapter.folder = tmp_path / "run"
    adapter.open()
    try:
        maps = Path(f"/proc/{adapter._session._program.pid}/maps").read_text()
    finally:
        adapter.close()
    ends = [row.split()[0].split("-") for row in maps.splitlines() if " r-xp " in row and len(row.split()) == 5]
    assert any(int(end, 16) - int(begin, 16) >= 2**21 for begin, end in ends)
