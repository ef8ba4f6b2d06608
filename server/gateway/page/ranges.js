// The contract counts bytes of UTF-8, a browser units of UTF-16.

/** Give the texts of ascending, disjoint byte ranges, each {start, end}, and where they are in UTF-16. */
export function unitsOf(text, ranges) {
  const edges = [...new Set(ranges.flatMap(({ start = 0, end = 0 }) => [start, end]))].sort((a, b) => a - b);
  const units = new Map();
  let byte = 0;
  let unit = 0;
  for (const edge of edges) {
    while (byte < edge && unit < text.length) {
      const point = text.codePointAt(unit);
      byte += point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
      unit += point > 0xffff ? 2 : 1;
    }
    units.set(edge, unit);
  }
  return ranges.map(({ start = 0, end = 0 }) => ({ start: units.get(start), end: units.get(end) }));
}
