"""The directive ``optable``: one row per registered operator of the C engine."""

from docutils import nodes
from docutils.parsers.rst import Directive

import gradiverse as gv

COLUMNS = ("name", "signature", "doc", "flags")


class OpTable(Directive):
    """A table made from ``gradiverse.op_table()`` when the page is built."""

    def run(self):
        """Return the table node."""
        table = gv.op_table().sort_values("name")
        group = nodes.tgroup(cols=len(COLUMNS))
        group += [nodes.colspec(colwidth=w) for w in (12, 30, 48, 10)]
        head, body = nodes.thead(), nodes.tbody()
        head += self.row([nodes.Text(name) for name in COLUMNS])
        for _, op in table.iterrows():
            name = nodes.literal(text=op["name"])
            signature = nodes.literal(text=op["signature"])
            flags = op["flags"]
            text = flags if isinstance(flags, str) else ", ".join(flags)
            cells = [name, signature, nodes.Text(op["doc"]), nodes.Text(text)]
            body += self.row(cells)
        group += [head, body]
        result = nodes.table()
        result += group
        return [result]

    @staticmethod
    def row(cells):
        """One row of the table."""
        row = nodes.row()
        for cell in cells:
            paragraph = nodes.paragraph()
            paragraph += cell
            entry = nodes.entry()
            entry += paragraph
            row += entry
        return row


def setup(app):
    """Register the directive."""
    app.add_directive("optable", OpTable)
    return {"parallel_read_safe": True, "version": "1"}
