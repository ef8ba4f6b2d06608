// Both texts with their sentences and words, and what lights up under the pointer, the caret and the focus.

/** Emits "select" with {place} on itself as a sentence is chosen. */
export class Panes extends EventTarget {
  #result;
  #lit = [];

  constructor(source, mirror, target) {
    super();
    Object.assign(this, { source, mirror, target });
    source.addEventListener("pointermove", (event) => this.#lightFrom(this.#under(event)));
    source.addEventListener("pointerleave", () => this.#light());
    source.addEventListener("click", () => this.#selectAtCaret());
    document.addEventListener("selectionchange", () => this.#lightAtCaret());
    target.addEventListener("pointermove", ({ target: node }) => this.#lightFrom(node));
    target.addEventListener("pointerleave", () => this.#light());
    target.addEventListener("focusin", ({ target: node }) => this.#lightFrom(node));
    target.addEventListener("focusout", () => this.#light());
    target.addEventListener("click", ({ target: node }) => this.#select(sentenceOf(node)));
    target.addEventListener("keydown", (event) => this.#key(event));
  }

  /** The source as it is typed, without sentences: the mirror is also what gives the field its height. */
  typed() {
    this.#lit = [];
    this.mirror.textContent = `${this.source.value}\n`;
    this.target.classList.add("old");
  }

  show(result) {
    this.#result = result;
    this.#lit = [];
    const words = (side) => result.sentences.map((sentence, place) => sentenceNode(sentence, place, side));
    this.mirror.replaceChildren(...woven(result.sourceGaps, words("source")), "\n");
    const sentences = words("target");
    sentences.forEach((node, place) => {
      node.setAttribute("role", "button");
      node.tabIndex = place ? -1 : 0;
    });
    this.target.replaceChildren(...woven(result.targetGaps, sentences));
    this.target.classList.remove("old");
  }

  clear() {
    this.#result = undefined;
    this.typed();
    this.target.replaceChildren();
    this.target.classList.remove("old");
  }

  /** Mark the sentence whose details are shown. */
  mark(place) {
    for (const node of this.target.querySelectorAll("[data-sentence]")) {
      node.setAttribute("aria-pressed", String(Number(node.dataset.sentence) === place));
    }
  }

  #under({ clientX, clientY }) {
    const holds = ({ left, right, top, bottom }) =>
      clientX >= left && clientX <= right && clientY >= top && clientY <= bottom;
    const within = (nodes) => [...nodes].find((node) => [...node.getClientRects()].some(holds));
    const sentence = within(this.mirror.children);
    return sentence && (within(sentence.children) ?? sentence);
  }

  #atCaret() {
    const caret = this.source.selectionStart;
    let end = 0;
    return [...this.mirror.childNodes].find((node) => (end += node.textContent.length) > caret);
  }

  #lightAtCaret() {
    if (document.activeElement === this.source && this.#result) this.#lightFrom(this.#atCaret());
  }

  #selectAtCaret() {
    this.#select(sentenceOf(this.#atCaret()));
  }

  #lightFrom(node) {
    const place = sentenceOf(node);
    if (place === undefined) return this.#light();
    const word = node.dataset.word;
    const side = this.mirror.contains(node) ? "source" : "target";
    this.#light(place, side, word === undefined ? undefined : Number(word));
  }

  #light(place, side, word) {
    for (const node of this.#lit) node.classList.remove("lit", "linked");
    this.#lit = [];
    if (place === undefined) return;
    const other = side === "source" ? "target" : "source";
    const nodes = { source: this.#node(this.mirror, place), target: this.#node(this.target, place) };
    this.#add("lit", Object.values(nodes));
    if (word === undefined) return;
    const partners = this.#result.sentences[place].partners(side, word);
    const found = partners.map((one) => nodes[other].querySelector(`[data-word="${one}"]`));
    if (found.length) this.#add("linked", [nodes[side].querySelector(`[data-word="${word}"]`), ...found]);
  }

  #add(name, nodes) {
    const there = nodes.filter(Boolean);
    for (const node of there) node.classList.add(name);
    this.#lit.push(...there);
  }

  #node(root, place) {
    return root.querySelector(`[data-sentence="${place}"]`);
  }

  #select(place) {
    if (place === undefined || !this.#result) return;
    this.dispatchEvent(new CustomEvent("select", { detail: { place } }));
  }

  #key(event) {
    const place = sentenceOf(event.target);
    if (place === undefined) return;
    const last = this.#result.sentences.length - 1;
    const next = { ArrowRight: place + 1, ArrowDown: place + 1, ArrowLeft: place - 1, ArrowUp: place - 1,
      Home: 0, End: last }[event.key];
    if (event.key === "Enter" || event.key === " ") this.#select(place);
    else if (next === undefined) return;
    else this.#focus(Math.min(Math.max(next, 0), last));
    event.preventDefault();
  }

  #focus(place) {
    for (const node of this.target.querySelectorAll("[data-sentence]")) {
      node.tabIndex = Number(node.dataset.sentence) === place ? 0 : -1;
    }
    this.#node(this.target, place).focus();
  }
}

function sentenceOf(node) {
  const place = node?.closest?.("[data-sentence]")?.dataset.sentence;
  return place === undefined ? undefined : Number(place);
}

function woven(gaps, nodes) {
  return gaps.flatMap((gap, place) => [gap, nodes[place]].filter(Boolean));
}

function sentenceNode(sentence, place, side) {
  const node = document.createElement("span");
  node.dataset.sentence = place;
  const text = sentence[side];
  let from = 0;
  sentence[`${side}Words`].forEach(({ start, end }, word) => {
    const part = document.createElement("span");
    part.dataset.word = word;
    part.textContent = text.slice(start, end);
    node.append(text.slice(from, start), part);
    from = end;
  });
  node.append(text.slice(from));
  return node;
}
