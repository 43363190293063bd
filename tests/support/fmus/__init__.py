"""FMUs that the tests build, and changes to their model descriptions."""

import zipfile
from pathlib import Path

from pythonfmu.builder import FmuBuilder as Builder2
from pythonfmu3.builder import FmuBuilder as Builder3

SOURCES = Path(__file__).parent
UNITS = """<UnitDefinitions>
<Unit name="W"><BaseUnit kg="1" m="2" s="-3"/></Unit>
<Unit name="K"><BaseUnit K="1"/></Unit>
<Unit name="m3/h"><BaseUnit m="3" s="-1" factor="2.777777777777778E-4"/></Unit>
<Unit name="kW"><BaseUnit kg="1" m="2" s="-3"/></Unit>
<Unit name="degC"><BaseUnit K="1" offset="273.15"/></Unit>
<Unit name="var"><BaseUnit kg="1" m="2" s="-3"/></Unit>
<Unit name="%"><BaseUnit factor="0.01"/></Unit>
<Unit name="zogs"/>
</UnitDefinitions><LogCategories>"""


def rewritten(path, folder, changes=(), files=()):
    """Copy an FMU with changes to its model description and with further files."""
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(folder / path.name, "w") as new:
        for entry in old.infolist():
            data = old.read(entry)
            if entry.filename == "modelDescription.xml":
                text = data.decode()
                for before, after in changes:
                    assert before in text
                    text = text.replace(before, after, 1)
                data = text.encode()
            new.writestr(entry, data)
        for name, data in files:
            new.writestr(name, data)
    return folder / path.name


IN_SI = [
    ("<LogCategories>", UNITS),
    ('<Real start="0"/>', '<Real start="0" unit="W"/>'),
    ('<Real start="293.15"/>', '<Real start="293.15" unit="K"/>'),
    ("<Real/>", '<Real unit="K"/>'),
]
"""Changes that give the tank its units: pythonfmu 0.7 writes none."""


def serializes(state):
    """Return the changes that let an FMU serialize its state, as FMI 2 (``FMUstate``) or 3 (``FMUState``) calls it."""
    return [(f'can{verb}{state}="false"', f'can{verb}{state}="true"') for verb in ("GetAndSet", "Serialize")]


def build_tank(folder):
    """Build the FMI 2 tank as pythonfmu makes it, without any unit."""
    return Path(Builder2.build_FMU(SOURCES / "tank2.py", dest=folder))


def build_layers(folder):
    """Build the FMI 3 tank in layers, with units and arrays."""
    return Path(Builder3.build_FMU(SOURCES / "layers3.py", dest=folder))


def build_probe(folder, version=2):
    """Build the FMU that shows what it was told before its first step, for FMI 2 or 3."""
    builder = Builder2 if version == 2 else Builder3
    return Path(builder.build_FMU(SOURCES / f"probe{version}.py", dest=folder))
