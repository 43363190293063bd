"""Synthetic EPW files."""

DAYS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def stamps(leap=False):
    for month, days in enumerate(DAYS, 1):
        for day in range(1, days + 1 + (leap and month == 2)):
            for hour in range(1, 25):
                yield month, day, hour


def record(month, day, hour, noon=500):
    noon = noon if 8 < hour < 17 else 0
    row = [2001, month, day, hour, 60, "?9", 10 + hour / 10, 5, 60, 101325, 0, 0, 300, noon, noon, noon / 5]
    return [*map(str, row), "0", "0", "0", "0", "180", "2.5", "5", "5", "9", "77777", "9", "0", "0", "0", "0", "88"]


def write_epw(
    tmp_path,
    change=None,
    leap=False,
    location=None,
    encoding="utf-8",
    per_hour="1",
    period="1/ 1,12/31",
    noon=500,
):
    """Write a synthetic EPW file; ``change`` edits its list of records."""
    rows = [record(*stamp, noon=noon) for stamp in stamps(leap)]
    if change:
        change(rows)
    head = [
        location or "LOCATION,Niño,-,ESP,TEST,000000,41.3,2.1,1.0,5.0",
        *("DESIGN CONDITIONS,0", "TYPICAL/EXTREME PERIODS,0", "GROUND TEMPERATURES,0"),
        *("HOLIDAYS/DAYLIGHT SAVINGS,No,0,0,0", "COMMENTS 1,x", "COMMENTS 2,y"),
        f"DATA PERIODS,1,{per_hour},Data,Sunday,{period}",
    ]
    path = tmp_path / "own.epw"
    path.write_bytes("\r\n".join(head + [",".join(row) for row in rows] + [""]).encode(encoding))
    return path


def edit(k, field, value, count=1):
    def change(rows):
        for row in rows[k : k + count]:
            row[field] = value

    return change
