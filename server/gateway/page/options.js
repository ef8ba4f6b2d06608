// The form of search options as TranslateOptions in JSON.

import { call } from "./api.js";
import { say } from "./messages.js";

/** Characters up to which attention is asked for; a call may make only so much of it. */
export const MAX_CHARACTERS_WITH_ATTENTION = 1500;

export class Options {
  #models = [];
  #form;

  constructor(form, onChange) {
    this.#form = form;
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("input", () => {
      this.#showFields();
      if (form.checkValidity()) onChange();
      else form.reportValidity();
    });
    this.#showFields();
  }

  async load() {
    this.#models = (await call("v1/models")).models ?? [];
    this.draw();
  }

  draw() {
    const select = this.#form.elements.model;
    const { value } = select;
    const names = this.#models.map(({ name }) => new Option(name, name));
    select.replaceChildren(new Option(say("byDefault"), ""), ...names);
    select.value = value;
  }

  get model() {
    return this.#form.elements.model.value;
  }

  /** TranslateOptions for a text. */
  forText(text) {
    const options = this.#ofMethod();
    const hasAttention = this.#models.some(({ attention }) => attention !== undefined);
    if (hasAttention && text.length <= MAX_CHARACTERS_WITH_ATTENTION) options.attention = {};
    return options;
  }

  #ofMethod() {
    const method = this.#form.elements.method.value;
    if (method === "sampling") return { sampling: this.#given("temperature", "topP", "topK", "seed") };
    if (method === "contrastive") return { contrastiveSearch: this.#given("topK", "penaltyAlpha") };
    const options = this.#given("beamSize", "lengthPenalty");
    const numHypotheses = Number(this.#form.elements.alternatives.value);
    // A beam has at least as many hypotheses as are to come out of it.
    return { ...options, numHypotheses, beamSize: Math.max(options.beamSize ?? 1, numHypotheses) };
  }

  #given(...names) {
    const filled = names.filter((name) => this.#form.elements[name].value !== "");
    return Object.fromEntries(filled.map((name) => [name, Number(this.#form.elements[name].value)]));
  }

  #showFields() {
    const method = this.#form.elements.method.value;
    for (const label of this.#form.querySelectorAll("[data-for]")) {
      label.hidden = !label.dataset.for.split(" ").includes(method);
    }
    this.#form.elements.alternatives.disabled = method !== "beam";
  }
}
