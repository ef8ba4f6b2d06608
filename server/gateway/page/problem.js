// What went wrong, in words; and where the server says when to come back, coming back then.

import { say } from "./messages.js";

export class Problem {
  #timer;
  #error;
  #again;

  constructor(box) {
    this.box = box;
    this.text = box.querySelector("p");
    box.querySelector("button").addEventListener("click", () => this.#retry());
  }

  /** again: what to do once more; undefined where that would end the same. */
  show(error, again) {
    this.hide();
    [this.#error, this.#again] = [error, again];
    this.box.hidden = false;
    this.box.querySelector("button").hidden = !again;
    const waits = [429, 503].includes(error.httpCode) && error.retryAfterSeconds !== undefined && again;
    if (waits) this.#wait(error.retryAfterSeconds);
    else this.draw();
  }

  hide() {
    clearTimeout(this.#timer);
    this.#error = undefined;
    this.box.hidden = true;
  }

  draw() {
    if (this.#error) this.text.textContent = this.#message();
  }

  #message() {
    if (this.#error.httpCode === 0) return say("noAnswer");
    return [429, 503].includes(this.#error.httpCode)
      ? `${say("busy")} (${this.#error.message})` : this.#error.message;
  }

  #wait(seconds) {
    if (seconds <= 0) return this.#retry();
    this.text.textContent = say("wait", { message: this.#message(), seconds });
    this.#timer = setTimeout(() => this.#wait(seconds - 1), 1000);
  }

  #retry() {
    const again = this.#again;
    this.hide();
    again?.();
  }
}
