"""HDF5 metadata of a bank as bytes: superblock, groups, chunked datasets, attributes.

Layout after the HDF5 File Format Specification, version 2.0: superblock version 2,
object headers version 2, data layout version 3 with a version-1 B-tree as chunk index,
variable-length strings in one global heap. Everything is written anew behind the end of
the file; it counts from the moment the superblock (48 bytes at offset 0) points to it,
so whoever opens the file sees either the old or the new state, also after a kill.
"""

import struct

import h5py
import numpy as np

UNDEFINED = 0xFFFFFFFFFFFFFFFF
SUPERBLOCK = 48
_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_CHILDREN = 64  # of a B-tree node: twice the default rank of chunk indices
_MESSAGE_LIMIT = 65000
_MIX = list(zip((0, 1, 2, 0, 1, 2), (4, 6, 8, 16, 19, 4), strict=True))
_FINAL = list(zip((2, 0, 1, 2, 0, 1, 2), (14, 11, 25, 16, 4, 14, 24), strict=True))


def lookup3(data):
    """Bob Jenkins' hash of bytes (lookup3, little endian, seed 0): HDF5's checksum."""
    full = 0xFFFFFFFF
    count = max(1, -(-len(data) // 12))
    words = struct.unpack(f"<{3 * count}I", bytes(data).ljust(12 * count, b"\0"))
    s = [(0xDEADBEEF + len(data)) & full] * 3
    for i in range(0, len(words), 3):
        s = [(x + w) & full for x, w in zip(s, words[i : i + 3], strict=True)]
        if i + 3 == len(words):
            break
        for j, k in _MIX:
            x = s[j - 1]
            s[j] = ((s[j] - x) & full) ^ ((x << k & full) | x >> (32 - k))
            s[j - 1] = (x + s[j - 2]) & full
    if len(data):
        for j, k in _FINAL:
            x = s[j - 1]
            s[j] = ((s[j] ^ x) - ((x << k & full) | x >> (32 - k))) & full
    return s[2]


def superblock(end, root):
    """The 48 bytes that make the metadata at `root` the file's; `end` its length."""
    head = _SIGNATURE + struct.pack("<BBBBQ", 2, 8, 8, 0, 0)
    head += struct.pack("<QQQ", UNDEFINED, end, root)
    return head + struct.pack("<I", lookup3(head))


def end_of_file(head):
    """End of the data by a superblock as `superblock` writes it; None for others."""
    if len(head) < SUPERBLOCK or head[:9] != _SIGNATURE + b"\x02":
        return None
    (end,) = struct.unpack("<Q", head[28:36])
    (check,) = struct.unpack("<I", head[44:48])
    return end if check == lookup3(head[:44]) else None


class Image:
    """Metadata under construction, to be written at byte `address` of the file.

    First all `attributes`, then `put_texts`, then datasets, then groups.
    """

    def __init__(self, address):
        self.address = address
        self.data = bytearray()
        self._heap = Heap(address)

    def put(self, block):
        """Append a block; returns its address in the file."""
        at = self.address + len(self.data)
        self.data += block
        self.data += bytes(-len(self.data) % 8)
        return at

    def attributes(self, values):
        """Messages of attributes (name -> text, texts, number or array)."""
        return [(0x0C, _attribute(k, v, self._heap)) for k, v in values.items()]

    def put_texts(self):
        """Write the texts of the attributes."""
        self.put(self._heap.block())

    def header(self, messages):
        """An object header of (type, bytes) messages; returns its address."""
        body = b""
        for kind, message in messages:
            if len(message) > _MESSAGE_LIMIT:
                raise ValueError(
                    f"an attribute of {len(message)} bytes does not fit into an object "
                    "header: shorten it to 64 kB"
                )
            body += struct.pack("<BHB", kind, len(message), 0) + message
        block = b"OHDR" + struct.pack("<BBI", 2, 2, len(body)) + body
        return self.put(block + struct.pack("<I", lookup3(block)))

    def group(self, links, attributes):
        """A group with hard links (name -> address); returns its address."""
        messages = [
            (0x02, struct.pack("<BBQQ", 0, 0, UNDEFINED, UNDEFINED)),
            (0x0A, b"\0\0"),
        ]
        for name, target in links.items():
            text = name.encode()
            message = struct.pack("<BBBH", 1, 0x11, 1, len(text)) + text
            messages.append((0x06, message + struct.pack("<Q", target)))
        return self.header(messages + attributes)

    def dataset(self, dtype, shape, chunk, offsets, attributes):
        """A chunked dataset whose i-th chunk of rows lies at byte offsets[i]."""
        rank = len(shape) + 1
        nbytes = int(np.prod(chunk, dtype=np.int64)) * dtype.itemsize
        index = self._index(np.asarray(offsets, dtype="<u8"), nbytes, chunk[0], rank)
        layout = struct.pack("<BBBQ", 3, 2, rank, index)
        layout += struct.pack(f"<{rank}I", *chunk, dtype.itemsize)
        messages = [
            (0x01, _space(shape)),
            (0x03, _type(dtype)),
            (0x05, b"\x03\x0b"),
            (0x08, layout),
        ]
        return self.header(messages + attributes)

    def _index(self, offsets, nbytes, rows, rank):
        """B-tree over chunks along the first axis; returns the address of its root."""
        if not len(offsets):
            return UNDEFINED
        key = np.dtype([("nbytes", "<u4"), ("mask", "<u4"), ("start", "<u8", (rank,))])
        entry = np.dtype([("key", key), ("child", "<u8")])
        node = np.dtype(
            [
                *(
                    ("signature", "S4"),
                    ("type", "u1"),
                    ("level", "u1"),
                    ("used", "<u2"),
                ),
                *(("left", "<u8"), ("right", "<u8")),
                *(("entries", entry, (_CHILDREN,)), ("last", key)),
            ]
        )
        starts, children = np.arange(len(offsets), dtype="<u8") * rows, offsets
        end = len(offsets) * rows
        for level in range(256):
            count = -(-len(children) // _CHILDREN)
            entries = np.zeros(count * _CHILDREN + 1, dtype=entry)
            entries["key"]["nbytes"] = nbytes
            entries["key"]["start"][: len(starts), 0] = starts
            entries["key"]["start"][len(starts) :, 0] = end
            entries["child"][: len(children)] = children
            nodes = np.zeros(count, dtype=node)
            nodes["signature"], nodes["type"], nodes["level"] = b"TREE", 1, level
            nodes["used"] = _CHILDREN
            nodes["used"][-1] = len(children) - (count - 1) * _CHILDREN
            nodes["entries"] = entries[:-1].reshape(count, _CHILDREN)
            nodes["last"] = entries["key"][_CHILDREN::_CHILDREN]
            at = self.address + len(self.data)
            places = at + np.arange(count, dtype="<u8") * node.itemsize
            nodes["left"] = np.append(np.uint64(UNDEFINED), places[:-1])
            nodes["right"] = np.append(places[1:], np.uint64(UNDEFINED))
            _end_partial(nodes[-1], end)
            self.put(nodes.tobytes())
            if count == 1:
                return int(places[0])
            starts, children = starts[::_CHILDREN], places
        raise AssertionError("unreachable: 64^256 chunks")


def _end_partial(node, end):
    """The key behind the last used entry of a partly filled node."""
    used = int(node["used"])
    if used < _CHILDREN:
        node["entries"]["key"]["start"][used, 0] = end


class Heap:
    """Global heap: the bytes of variable-length strings, written before their users."""

    def __init__(self, address):
        self.address, self.items = address, []

    def add(self, text):
        """Reference (length, address, index) to a string."""
        data = text.encode()
        self.items.append(data)
        return struct.pack("<IQI", len(data), self.address, len(self.items))

    def block(self):
        """The collection as bytes."""
        if len(self.items) > 0xFFFF:
            raise ValueError("a bank cannot hold more than 65535 texts as attributes")
        body = b""
        for i, data in enumerate(self.items):
            body += struct.pack("<HHIQ", i + 1, 1, 0, len(data))
            body += data + bytes(-len(data) % 8)
        size = max(4096, 16 + len(body) + 16)
        free = size - 16 - len(body)
        body += struct.pack("<HHIQ", 0, 0, 0, free) + bytes(free - 16)
        return b"GCOL" + struct.pack("<BBBBQ", 1, 0, 0, 0, size) + body


def _space(shape):
    """Dataspace message of a scalar, () , or a simple shape."""
    kind = 1 if shape else 0
    head = struct.pack("<BBBB", 2, len(shape), 0, kind)
    return head + struct.pack(f"<{len(shape)}Q", *shape)


def _type(dtype):
    """Datatype message."""
    return h5py.h5t.py_create(dtype, logical=True).encode()[2:]


def _attribute(name, value, heap):
    """Attribute message of a text, texts, a number or an array of numbers."""
    value = np.asarray(value)
    if value.dtype.kind in "UO":
        if not all(isinstance(v, str) for v in value.ravel().tolist()):
            raise TypeError(f"attribute '{name}' must be text or numbers")
        kind = bytearray(_type(h5py.string_dtype()))
        kind[4:8] = struct.pack("<I", 16)  # in a file: length, heap address, index
        data = b"".join(heap.add(v) for v in value.ravel().tolist())
    else:
        kind, data = _type(value.dtype), value.tobytes()
    space, text = _space(value.shape), name.encode() + b"\0"
    head = struct.pack("<BBHHHB", 3, 0, len(text), len(kind), len(space), 1)
    return head + text + kind + space + data
