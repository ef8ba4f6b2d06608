// Files: plain text comes into the page, all others go to the server and come back as files.

import { call, CallError } from "./api.js";
import { say } from "./messages.js";

const MAX_TEXT_BYTES = 50_000; // more is no pleasure to read here
const OF_PAGE = [".txt", ".text"];

/** Opens a file: gives {text}, or {url, name} of its translation. Throws CallError. */
export async function openFile(file, [source, target], signal) {
  const suffix = (/\.[^.]+$/.exec(file.name)?.[0] ?? "").toLowerCase();
  if (OF_PAGE.includes(suffix) && file.size <= MAX_TEXT_BYTES) return { text: await textOf(file) };
  const formats = await formatsOfServer(signal);
  if (!formats.includes(suffix)) {
    throw new CallError(say("unsupported", { name: file.name, formats: formats.join(" ") }), 415);
  }
  const form = new FormData();
  form.append("file", file);
  form.append("source", source);
  form.append("target", target);
  const { translatedFileUrl } = await call("translate_file", { body: form, signal });
  // Where it is here: the server may be known by another name to whoever is behind a proxy.
  const url = new URL(translatedFileUrl).pathname.replace(/^\//, "");
  return { url, name: decodeURIComponent(url.split("/").at(-1)) };
}

async function textOf(file) {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(await file.arrayBuffer());
  } catch {
    throw new CallError(say("noText", { name: file.name }), 415);
  }
}

async function formatsOfServer(signal) {
  try {
    return (await call("frontend/settings", { signal })).supportedFilesFormat ?? [];
  } catch (error) {
    if (error.httpCode === 404) return OF_PAGE;
    throw error;
  }
}

/** Take what is dropped on a place, pasted there or chosen by its button. */
export function watchFiles(place, button, input, onFile) {
  const files = (event) => [...(event.dataTransfer?.files ?? [])];
  place.addEventListener("dragover", (event) => {
    if (!event.dataTransfer.types.includes("Files")) return;
    event.preventDefault();
    place.classList.add("over");
  });
  place.addEventListener("dragleave", () => place.classList.remove("over"));
  place.addEventListener("drop", (event) => {
    place.classList.remove("over");
    if (!files(event).length) return;
    event.preventDefault();
    onFile(files(event)[0]);
  });
  button.addEventListener("click", () => input.click());
  input.addEventListener("change", () => {
    if (input.files.length) onFile(input.files[0]);
    input.value = ""; // so that the same file can be chosen again
  });
}
