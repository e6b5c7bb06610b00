"""Tables of rows, for the terminal and in Markdown."""

ROW = "ROW "  # before the JSON of a row, on the standard output of a part
HIDDEN = ("part", "backend")


class Printer:
    """Prints rows as lines of a table, with a header whenever the columns change."""

    def __init__(self):
        self._columns = None

    def print(self, row):
        """Prints one row. Its part and backend are in the header."""
        columns = [name for name in row if name not in HIDDEN]
        if columns != self._columns:
            print("", row["part"], row.get("backend", ""), *columns, sep=" | ", flush=True)
            self._columns = columns
        values = [shown(row[name]) for name in columns]
        print("", row["part"], row.get("backend", ""), *values, sep=" | ", flush=True)


def shown(value):
    """Returns a value as text, with three significant digits."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return "" if value is None else str(value)
    if isinstance(value, int) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def markdown(rows):
    """Returns rows as a table in Markdown, with all their columns."""
    columns = list(dict.fromkeys(name for row in rows for name in row if name not in HIDDEN))
    lines = [columns, ["---"] * len(columns)]
    lines += [[shown(row.get(name)) for name in columns] for row in rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
