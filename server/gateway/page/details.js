// One sentence looked at closely: its alternatives, and what each word of it looked at.

import { format, say } from "./messages.js";
import { MAX_CHARACTERS_WITH_ATTENTION } from "./options.js";

const byId = (id) => document.getElementById(id);

export class Details {
  #sentence;
  #place;
  #count;
  #onChoice;

  /** onChoice is called as an alternative was put into the translation. */
  constructor(onChoice) {
    this.#onChoice = onChoice;
    byId("heat").addEventListener("toggle", () => this.#drawHeat());
  }

  /** place, from 0, of count sentences; none of them hides it all. */
  show(sentence, place, count) {
    [this.#sentence, this.#place, this.#count] = [sentence, place, count];
    byId("sentence").hidden = !sentence;
    if (!sentence) return;
    byId("sentence-title").textContent = say("sentence", { place: format(place + 1), count: format(count) });
    byId("sentence-source").textContent = sentence.source;
    byId("sentence-source").lang = sentence.languages.source;
    byId("sentence-target").textContent = sentence.target;
    byId("sentence-target").lang = sentence.languages.target;
    const others = sentence.hypotheses.flatMap((_, place) => (place === sentence.chosen ? [] : [place]));
    byId("others").replaceChildren(...others.map((place) => this.#other(place)));
    byId("others").hidden = !others.length;
    byId("others-none").hidden = others.length > 0;
    this.#drawHeat();
  }

  /** Draw again, as after a change of the interface's language. */
  draw() {
    this.show(this.#sentence, this.#place, this.#count);
  }

  #other(place) {
    const { text } = this.#sentence.hypotheses[place];
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = text;
    button.lang = this.#sentence.languages.target;
    button.title = say("use", { text });
    button.addEventListener("click", () => {
      this.#sentence.choose(place);
      this.#onChoice();
    });
    const item = document.createElement("li");
    item.append(button);
    return item;
  }

  #drawHeat() {
    const table = document.querySelector("#heat table");
    if (!byId("heat").open || !this.#sentence) return table.replaceChildren();
    const { attention } = this.#sentence;
    const count = format(MAX_CHARACTERS_WITH_ATTENTION);
    table.replaceChildren(...(attention ? heatRows(attention) : [caption(say("heatNone", { count }))]));
  }
}

function caption(text) {
  const node = document.createElement("caption");
  node.textContent = text;
  return node;
}

function heatRows({ sourceTokens, targetTokens, weights }) {
  const row = (cells) => {
    const node = document.createElement("tr");
    node.append(...cells);
    return node;
  };
  const rows = targetTokens.map((token, place) => {
    const own = weights.slice(place * sourceTokens.length, (place + 1) * sourceTokens.length);
    return row([heading(token, "row"), ...own.map(cell)]);
  });
  return [row([document.createElement("td"), ...sourceTokens.map((token) => heading(token, "col"))]), ...rows];
}

function heading(token, scope) {
  const node = document.createElement("th");
  node.scope = scope;
  // A token alone may be no more than the space before a word.
  node.textContent = token.replaceAll("▁", "") || "␣";
  return node;
}

function cell(weight) {
  const node = document.createElement("td");
  node.textContent = Math.round(100 * weight);
  node.style.setProperty("--weight", weight.toFixed(2));
  return node;
}
