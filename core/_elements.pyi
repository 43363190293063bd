from collections.abc import Collection

class Reader:
    def __init__(
        self, tags: Collection[str], keys: Collection[str] | None = None, among: Collection[str] | None = None
    ) -> None: ...
    def feed(self, chunk: bytes) -> list[tuple[str, dict[str, str]]]: ...
