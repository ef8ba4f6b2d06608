// A translation as the page shows it: sentences of two texts, words in them, and which belong together.

import { unitsOf } from "./ranges.js";
import { linked, wordOfToken, wordsOf, wordWeights } from "./words.js";

export class Result {
  /** translation: Translation in JSON; source: the text it is of; languages: {source, target}. */
  constructor(translation, source, languages) {
    this.warnings = translation.warnings ?? [];
    this.isCut = translation.stopReason === "STOP_REASON_MAX_TARGET_TOKENS";
    const segments = translation.segments ?? [];
    const target = translation.text ?? "";
    const sources = unitsOf(source, segments.map((segment) => segment.source));
    const targets = unitsOf(target, segments.map((segment) => segment.target));
    this.sentences = segments.map((segment, place) => {
      const hypotheses = segment.hypotheses ?? (segments.length === 1 ? translation.hypotheses : []) ?? [];
      const [whole, range] = [target.slice(targets[place].start, targets[place].end), sources[place]];
      return new Sentence(source.slice(range.start, range.end), whole, hypotheses, languages);
    });
    this.sourceGaps = gaps(source, sources);
    this.targetGaps = gaps(target, targets);
  }

  /** The translation with the alternatives that were chosen. */
  get text() {
    return this.targetGaps.map((gap, place) => gap + (this.sentences[place]?.target ?? "")).join("");
  }
}

class Sentence {
  constructor(source, target, hypotheses, languages) {
    this.source = source;
    this.languages = languages;
    this.hypotheses = hypotheses.map(({ text = "", attention }) => ({ text, attention }));
    // The best one's text, as it stands in the whole: white space at its ends is the source's.
    if (this.hypotheses.length) this.hypotheses[0].text = target;
    else this.hypotheses.push({ text: target });
    this.choose(0);
  }

  choose(place) {
    this.chosen = place;
    this.target = this.hypotheses[place].text;
    this.attention = this.hypotheses[place].attention;
    this.sourceWords = wordsOf(this.source, this.languages.source);
    this.targetWords = wordsOf(this.target, this.languages.target);
    this.#weights = undefined;
  }

  #weights;

  /** Places of the words of the other side that belong to a word of this side. */
  partners(side, word) {
    if (!this.attention) return [];
    this.#weights ??= this.#wordWeights();
    return linked(side === "target" ? this.#weights[word] : this.#weights.map((row) => row[word]));
  }

  #wordWeights() {
    const { sourceTokens, targetTokens } = this.attention;
    const sourceOf = wordOfToken(sourceTokens, this.source, this.sourceWords);
    const targetOf = wordOfToken(targetTokens, this.target, this.targetWords);
    return wordWeights(this.attention, sourceOf, targetOf, this.sourceWords.length, this.targetWords.length);
  }
}

/** What is before, between and behind ranges. */
function gaps(text, ranges) {
  const starts = [0, ...ranges.map(({ end }) => end)];
  return starts.map((start, place) => text.slice(start, ranges[place]?.start ?? text.length));
}
