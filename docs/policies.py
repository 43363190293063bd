"""Write docs/policies.md from the docstrings of the policy library: ``python docs/policies.py``."""

import inspect
from pathlib import Path

from cosim.registry import Parameters
from cosim.scenarios.policies import LIBRARY

PAGE = Path(__file__).with_suffix(".md")
HEAD = """# Policies

A policy changes a city while it is built; nothing in the simulators knows of it. Several are applied in the order
given:

```python
from cosim.scenarios import eixample
from cosim.scenarios.policies import EvShare, HeatPumps, Superblocks

plan = eixample.build(policies=[EvShare(0.4), HeatPumps(0.3), Superblocks()])
```

```sh
cosim run eixample --policy EvShare:share=0.4 --policy HeatPumps:share=0.3 --policy Superblocks
```

What cannot be combined is refused with the reason: two of a kind, two that decide the same, one that finds nothing to
change. A policy of one's own is a subclass of `cosim.scenarios.policy.Policy`, registered by the entry point group
`cosim.policies` for the command line.

This page is generated from the docstrings by `python docs/policies.py`.
"""


TAIL = """## Beside what was observed

`python tests/benchmarks/bologna_policies.py` simulates 30 km/h and one superblock in DLR's scenarios of Bologna's
morning peak, the superblock being the group of four blocks on whose streets the least is driven. One seed:

| | acosta, half an hour | joined, one hour | published |
|---|---|---|---|
| 30 km/h: mean speed | 23.3 → 15.5 km/h | 17.2 → 11.4 km/h | |
| 30 km/h: vehicle-kilometres | −7 % | −8 % | Bologna Città 30: flow −9 % |
| superblock: traffic inside | −95 % | −55 % | Sant Antoni: −82 % |
| superblock: traffic along its border | +12 % | −4 % | up to +17 % on neighbouring streets |
| superblock: CO2 per kilometre | +4 % | +3 % | city-wide NOx: hardly any change |

What deviates, and why: the flow falls because the peak is not over when the window ends, not because trips are given
up, so that its agreement with Bologna's count is no validation. In acosta next to nobody begins or ends inside, so that
less is left than in Barcelona. Joined runs at capacity and is made of main streets: what a superblock keeps out queues
farther away instead of passing along its border, and a cell of five blocks that holds through roads brings the network
to a standstill. Emission classes are those of the scenario (HBEFA 2).
"""


def page() -> str:
    """Return the page."""
    parts = [HEAD]
    for sector, policies in LIBRARY.items():
        parts.append(f"## {sector}\n")
        for policy in policies:
            text = inspect.cleandoc(policy.__doc__ or "").partition("Parameters\n----------")[0].strip()
            parts.append(f"### {policy.__name__}\n\n{text}\n")
            rows = Parameters(policy.__name__, policy).rows()
            if rows:
                parts.append("| parameter | type | default | meaning |\n|---|---|---|---|")
                parts += [f"| `{name}` | {_cell(kind)} | {_cell(default)} | {_cell(meaning)} |"
                          for name, kind, default, meaning in rows]  # fmt: skip
                parts.append("")
    return "\n".join([*parts, TAIL])


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
