// Which languages can be chosen, and exchanging the two.

import { call } from "./api.js";
import { nameOf, say } from "./messages.js";

export const AUTO = "auto";

export class Languages {
  #pairs = [];

  constructor(from, to, swap) {
    this.from = from;
    this.to = to;
    this.swap = swap;
    this.detected = undefined;
    from.addEventListener("change", () => this.#chosen());
    to.addEventListener("change", () => this.#chosen());
  }

  async load() {
    const { pairs = [] } = await call("v1/languagePairs");
    this.#pairs = pairs.map(({ sourceLanguage, targetLanguage }) => [sourceLanguage, targetLanguage]);
    const [from, to] = (localStorage.getItem("pair") ?? `${AUTO} ${this.#likelyTarget()}`).split(" ");
    this.#draw(from, to);
    return pairs.length > 0;
  }

  /** Draw again, as after a change of the interface's language. */
  draw() {
    this.#draw(this.from.value, this.to.value);
  }

  setDetected(tag) {
    this.detected = tag;
    this.#allowSwap();
  }

  /** Exchange them; the source that is "auto" is the one that was detected. */
  exchange() {
    const [from, to] = [this.#source(), this.to.value];
    this.#draw(to, from);
    this.#chosen();
  }

  #source() {
    return this.from.value === AUTO ? this.detected : this.from.value;
  }

  #chosen() {
    this.detected = undefined;
    localStorage.setItem("pair", `${this.from.value} ${this.to.value}`);
    this.draw();
  }

  // Who reads in one language wants others in it.
  #likelyTarget() {
    const targets = this.#pairs.map(([, target]) => target);
    return navigator.languages.find((tag) => targets.includes(tag.split("-")[0]))?.split("-")[0] ?? targets[0];
  }

  #draw(from, to) {
    const sources = [...new Set(this.#pairs.map(([source]) => source))];
    fill(this.from, [[AUTO, say("auto")], ...named(sources)], from);
    const source = this.from.value;
    const reached = this.#pairs.filter(([one]) => source === AUTO || one === source);
    fill(this.to, named([...new Set(reached.map(([, target]) => target))]), to);
    this.#allowSwap();
  }

  #allowSwap() {
    const source = this.#source();
    this.swap.disabled = !this.#pairs.some(([one, other]) => one === this.to.value && other === source);
  }
}

function named(tags) {
  return tags.map((tag) => [tag, nameOf(tag)]).sort(([, one], [, other]) => one.localeCompare(other));
}

function fill(select, choices, value) {
  select.replaceChildren(...choices.map(([tag, name]) => new Option(name, tag)));
  select.value = choices.some(([tag]) => tag === value) ? value : choices[0]?.[0] ?? "";
}
