// Words of a sentence, and how much each looked at those of the other one: attention is over tokens.

/** Words of a text as {start, end}; scripts without spaces are cut by the browser's dictionary. */
export function wordsOf(text, language) {
  const found = [];
  for (const { segment, index, isWordLike } of segmenterOf(language).segment(text)) {
    if (isWordLike) found.push({ start: index, end: index + segment.length });
  }
  return found;
}

function segmenterOf(language) {
  try {
    return new Intl.Segmenter(language || undefined, { granularity: "word" });
  } catch {
    return new Intl.Segmenter(undefined, { granularity: "word" });
  }
}

/** Place in `words` of the word that each token is in; -1 for special tokens and those not found. */
export function wordOfToken(tokens, text, words) {
  const lower = text.toLowerCase();
  // Some characters are longer in lower case; then the text is compared as it is.
  const plain = lower.length === text.length ? lower : text;
  let from = 0;
  return tokens.map((token) => {
    const piece = token.replaceAll("▁", "").toLowerCase();
    const at = piece ? plain.indexOf(piece, from) : -1;
    // A token's text is at most a few characters further on; more is a token that is not in the text.
    if (at < 0 || at > from + 4) return -1;
    from = at + piece.length;
    return words.findIndex(({ start, end }) => at < end && from > start);
  });
}

/** For each target word a weight for each source word: attention summed over source, averaged over target tokens. */
export function wordWeights(attention, sourceOf, targetOf, numSource, numTarget) {
  const sums = Array.from({ length: numTarget }, () => new Float64Array(numSource));
  const counts = new Float64Array(numTarget);
  targetOf.forEach((target, row) => {
    if (target < 0) return;
    counts[target] += 1;
    sourceOf.forEach((source, column) => {
      if (source >= 0) sums[target][source] += attention.weights[row * sourceOf.length + column];
    });
  });
  return sums.map((row, target) => Array.from(row, (sum) => sum / (counts[target] || 1)));
}

/** The places that stand out in a row of weights: at least half of the largest, and more than noise. */
export function linked(row) {
  const most = Math.max(0, ...row);
  return row.flatMap((weight, place) => (weight >= 0.1 && weight >= most / 2 ? [place] : []));
}
