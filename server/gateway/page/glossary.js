// Terms for one text; the box is there where the server's contract has them.

import { call } from "./api.js";

export class Glossary {
  #box;
  #field;

  constructor(box, field, onChange) {
    this.#box = box;
    this.#field = field;
    field.addEventListener("input", onChange);
  }

  async load() {
    const { components } = await call("openapi.json");
    const requests = Object.entries(components.schemas).filter(([name]) => /(^|\.)TranslateRequest$/.test(name));
    this.#box.hidden = !requests.some(([, schema]) => "glossary" in (schema.properties ?? {}));
  }

  /** GlossaryTerm in JSON, one for each line; without "=" the term stays as it is. */
  get terms() {
    if (this.#box.hidden) return [];
    const lines = this.#field.value.split("\n").map((line) => line.trim()).filter(Boolean);
    return lines.map((line) => {
      const [source, ...target] = line.split("=");
      return { source: source.trim(), target: target.join("=").trim() };
    });
  }
}
