"""What the site consists of. Each page's body is made from its path, so that whoever asks for it knows every byte that is to come.

The same is said once more in `site/index.php`, for the server that has its pages from PHP.
"""
import hashlib

# Sizes in bytes. The large ones are more than a proxy would hold back before it begins to answer.
SMALL, LARGE = [700, 3_000, 20_000], [150_000]

STORED = [f"/page/{number}-{size}" for number in range(16) for size in SMALL + LARGE]
LIVE = [f"/live/{number}-{size}" for number in range(16) for size in SMALL]


def body(path):
    """The body of the page at a path."""
    size = int(path.rpartition("-")[2])
    line = hashlib.sha256(path.encode()).hexdigest() + "\n"
    return (f"URL {path}\n" + line * (size // len(line) + 1))[:size].encode()


def write(folder):
    """The whole site as files."""
    for path in STORED + LIVE:
        file = folder / path[1:]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(body(path))
    (folder / "health").write_text("ok\n")
