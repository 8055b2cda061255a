"""The figures as Markdown."""

# Order of the rows: the floor first, then ours, then the others.
ORDER = ["floor", "copal", "copal-pool", "haproxy", "nginx", "varnish"]
NAMES = {"floor": "floor", "copal": "**Copal**", "copal-pool": "Copal, pool of two", "haproxy": "HAProxy", "nginx": "nginx", "varnish": "Varnish"}
# More work of others than this, in cores, and the figures say little.
BUSY = 0.1


def load_table(title, figures):
    """One case. `figures`: server name → medians of its rounds."""
    floor, ours = figures["floor"]["cpu_us"], figures.get("copal", {}).get("cpu_us")
    rows = []
    for name in ORDER:
        if name in figures:
            one = figures[name]
            ratio = f"{ours / one['cpu_us']:.2f}" if ours and name != "copal" else "–"
            rows.append([NAMES[name], f"{one['cpu_us']:.1f}", f"{one['cpu_us'] / floor:.2f}", ratio,
                         f"{one['rps']:,.0f}", f"{one['p50_us'] / 1000:.2f}", f"{one['p99_us'] / 1000:.2f}"])
    head = ["", "CPU µs a request", "× floor", "Copal ÷ it", "requests/s", "p50 ms", "p99 ms"]
    busy = elsewhere(figures)
    note = f"\nThe machine did other work meanwhile ({busy:.2f} cores): measure again when it is quiet.\n" if busy > BUSY else ""
    return f"### {title}\n\n{_table(head, rows)}\n{note}"


def memory_table(title, figures):
    """Bytes for a stored response, by server."""
    rows = [[NAMES[name], f"{figures[name]['memory']:,.0f}", f"{figures[name]['disk']:,.0f}", f"{figures[name]['stored']:,}"]
            for name in ORDER if name in figures]
    return f"### {title}\n\n{_table(['', 'bytes of memory', 'bytes on disk', 'stored'], rows)}\n"


def elsewhere(figures):
    """What others used of the machine while a case ran, in cores."""
    return max(one["elsewhere"] for one in figures.values())


def verdict(loads):
    """What the project expects of itself, and whether it holds."""
    def cost(case, name="copal"):
        return loads.get(case, {}).get(name, {}).get("cpu_us")

    def beyond(page, plain):
        """What fragments add to a page of that size."""
        both = cost(page), cost(plain)
        return both[0] - both[1] if all(both) else None

    expected = [
        ("1 KiB hit at most 1.6 × floor", cost("hit-1k"), cost("hit-1k", "floor"), 1.6),
        ("1 KiB hit below nginx", cost("hit-1k"), cost("hit-1k", "nginx"), 1.0),
        ("ESI page with 5 fragments at most 1.5 × a hit of its size", cost("esi"), cost("hit-12k"), 1.5),
        ("ESI page with 5 fragments at most 1/8 of Varnish", cost("esi"), cost("esi", "varnish"), 1 / 8),
        # Linear is 10 ×; the rest is room for what a difference of two figures may be off.
        ("what 50 fragments add at most 12 × what 5 add", beyond("esi-50", "hit-30k"), beyond("esi", "hit-12k"), 12),
        ("ESI page with a passed fragment at most 1.3 × a pass", cost("esi-pass"), cost("pass"), 1.3),
        ("a pass at most 1.15 × HAProxy", cost("pass"), cost("pass", "haproxy"), 1.15),
        ("a pass at most 1.15 × nginx", cost("pass"), cost("pass", "nginx"), 1.15),
        ("a pool that is balanced and checked adds at most 3 % to a pass", cost("pass", "copal-pool"), cost("pass"), 1.03),
    ]
    lines = [f"- {text}: {ours / other:.3g} ({'holds' if ours / other <= limit else 'does not hold'})"
             for text, ours, other, limit in expected if ours and other and other > 0]
    if any(elsewhere(figures) > BUSY for figures in loads.values()):
        lines.append("- The machine was busy with other work, so this says little.")
    return "\n".join(["### Expected", "", *lines, ""]) if lines else ""


def _table(head, rows):
    lines = [head, ["---"] + ["--:"] * (len(head) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
