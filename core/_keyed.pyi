from numpy import uint64
from numpy.typing import NDArray

def digests(prefix: bytes, labels: list[object]) -> NDArray[uint64]: ...
