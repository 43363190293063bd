"""Small OpenStreetMap files."""

from xml.sax.saxutils import quoteattr

CENTRE = (13.53, 52.43)
"""Longitude and latitude of node x = y = 0: Berlin."""
_LAT_M, _LON_M = 111_320.0, 67_900.0


def degrees(x, y, centre=CENTRE):
    """Return longitude and latitude of a place in metres from the centre."""
    return centre[0] + x / _LON_M, centre[1] + y / _LAT_M


class Map:
    """Nodes, ways and relations in metres around a centre."""

    def __init__(self, centre=CENTRE):
        self.centre, self.nodes, self.ways, self.relations = centre, {}, [], []
        self._at = {}

    def node(self, x, y, **tags):
        """Return the number of the node at a place."""
        if (x, y) not in self._at:
            self._at[x, y] = len(self.nodes) + 1
            self.nodes[self._at[x, y]] = (x, y, {})
        self.nodes[self._at[x, y]][2].update(_colons(tags))
        return self._at[x, y]

    def way(self, *points, number=None, **tags):
        """Add a way through points and return its number."""
        number = 1000 + len(self.ways) if number is None else number
        self.ways.append((number, [self.node(*point) for point in points], _colons(tags)))
        return number

    def house(self, x, y, width=10.0, depth=10.0, **tags):
        """Add a rectangle with its lower left corner at a place."""
        corners = [(x, y), (x + width, y), (x + width, y + depth), (x, y + depth), (x, y)]
        return self.way(*corners, **({"building": "yes"} if "building__part" not in tags else {}) | tags)

    def relation(self, members, **tags):
        """Add a relation of (type, number, role)."""
        self.relations.append((100_000 + len(self.relations), members, _colons(tags)))
        return self.relations[-1][0]

    def xml(self, *, without=(), bounds=None, unsorted=False):
        """Return the file's text, without some nodes or ways."""
        lines = ['<?xml version="1.0" encoding="UTF-8"?>', '<osm version="0.6">']
        if bounds:
            (west, south), (east, north) = (degrees(x, y, self.centre) for x, y in (bounds[:2], bounds[2:]))
            lines.append(f'<bounds minlat="{south}" minlon="{west}" maxlat="{north}" maxlon="{east}"/>')
        for number, (x, y, tags) in self.nodes.items():
            if number not in without:
                lon, lat = degrees(x, y, self.centre)
                lines += [f'<node id="{number}" lat="{lat:.8f}" lon="{lon:.8f}" version="1">', *_tags(tags), "</node>"]
        ways = [way for way in self.ways if way[0] not in without]
        for number, nodes, tags in reversed(ways) if unsorted else ways:
            refs = [f'<nd ref="{node}"/>' for node in nodes]
            lines += [f'<way id="{number}" version="1">', *refs, *_tags(tags), "</way>"]
        for number, members, tags in self.relations:
            parts = [f'<member type="{kind}" ref="{ref}" role="{role}"/>' for kind, ref, role in members]
            lines += [f'<relation id="{number}" version="1">', *parts, *_tags(tags), "</relation>"]
        return "\n".join([*lines, "</osm>\n"])

    def write(self, path, **options):
        """Write the file and return its path."""
        path.write_text(self.xml(**options), encoding="utf-8")
        return path


def _colons(tags):
    return {key.replace("__", ":"): str(value) for key, value in tags.items()}


def _tags(tags):
    return [f"<tag k={quoteattr(key)} v={quoteattr(value)}/>" for key, value in tags.items()]


def town(blocks=3, pitch=120.0, *, houses=True, centre=CENTRE):
    """Return a map of a street grid whose middle streets lead on, with houses along them, a shop and a school."""
    drawn = Map(centre)
    size = blocks * pitch
    for k in range(blocks + 1):
        kind = "secondary" if k == blocks // 2 else "residential"
        more = 300.0 if kind == "secondary" else 0.0
        stops = [i * pitch for i in range(blocks + 1)]
        for vertical in (False, True):
            along = [(-more, k * pitch)] * bool(more) + [(s, k * pitch) for s in stops]
            along += [(size + more, k * pitch)] * bool(more)
            points = [(y, x) for x, y in along] if vertical else along
            drawn.way(*points, highway=kind, name=f"{'Column' if vertical else 'Row'} {k}")
    if houses:
        for i in range(blocks):
            for j in range(blocks):
                for k in range(4):
                    levels = {"building__levels": 4} if k % 2 else {}
                    drawn.house(i * pitch + 15 + 20 * k, j * pitch + 15, 18.0, 12.0, building="apartments", **levels)
        drawn.house(15.0, 60.0, 20.0, 20.0, building="retail", shop="supermarket", building__levels=1)
        drawn.house(60.0, 60.0, 30.0, 20.0, building="school", building__levels=2)
    return drawn
