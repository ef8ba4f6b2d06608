// The page: what is typed goes to the server, and what comes back is shown. The parts know nothing of each other.

import { call, CallError } from "./api.js";
import { Details } from "./details.js";
import { openFile, watchFiles } from "./files.js";
import { Glossary } from "./glossary.js";
import { AUTO, Languages } from "./languages.js";
import { format, has, nameOf, say, watchInterface } from "./messages.js";
import { Options } from "./options.js";
import { Panes } from "./panes.js";
import { Problem } from "./problem.js";
import { Result } from "./result.js";
import { watchTheme } from "./theme.js";

const TYPING_MILLISECONDS = 250; // a pause between keys, not one between words
const byId = (id) => document.getElementById(id);
const source = byId("source");

const languages = new Languages(byId("from"), byId("to"), byId("swap"));
const panes = new Panes(source, byId("mirror"), byId("target"));
const options = new Options(byId("options"), () => soon());
const glossary = new Glossary(byId("glossary-box"), byId("glossary"), () => soon());
const problem = new Problem(byId("problem"));
const details = new Details(() => shown());
let result;
let place;
let status = ["", {}];
let timer;
let running = new AbortController();

/** Give up what is under way: only the newest text counts. */
function superseded() {
  clearTimeout(timer);
  running.abort();
  problem.hide();
  return (running = new AbortController()).signal;
}

function soon(milliseconds = TYPING_MILLISECONDS) {
  superseded();
  panes.typed();
  byId("made").hidden = true;
  byId("count").textContent = source.value ? say("characters", { count: format([...source.value].length) }) : "";
  timer = setTimeout(translate, milliseconds);
}

async function translate() {
  const signal = superseded();
  const text = source.value;
  if (!text.trim() || !languages.to.value) return empty();
  tell("translating");
  try {
    await ask(text, options.forText(text), signal);
  } catch (error) {
    failed(error, translate);
  }
}

async function ask(text, searched, signal) {
  const terms = glossary.terms;
  const body = {
    sourceLanguage: languages.from.value,
    targetLanguage: languages.to.value,
    texts: [text],
    options: searched,
    ...(options.model && { model: options.model }),
    ...(terms.length && { glossary: terms }),
  };
  let answer;
  try {
    answer = await call("v1/translate", { body, signal });
  } catch (error) {
    // So many or such long sentences that their attention is too much: they are translated without.
    if (!(searched.attention && error.httpCode === 400 && /attention/.test(error.message))) throw error;
    const { attention, ...others } = searched;
    return ask(text, others, signal);
  }
  received(answer, text);
}

function received({ items: [item], languagePair }, text) {
  if (item.error) throw new CallError(item.error.message ?? "", 400);
  const { translation } = item;
  const detected = translation.detectedLanguage?.language;
  const pair = translation.languagePair ?? languagePair ?? {};
  languages.setDetected(detected);
  result = new Result(translation, text, {
    source: pair.sourceLanguage ?? languages.from.value,
    target: pair.targetLanguage ?? languages.to.value,
  });
  byId("target").lang = result.sentences[0]?.languages.target ?? "";
  place = result.sentences.length ? 0 : undefined;
  if (detected) tell("detected", { tag: detected });
  else tell("done");
  shown();
}

function shown() {
  panes.show(result);
  select(place);
  warn();
}

function select(chosen) {
  place = chosen;
  panes.mark(place);
  details.show(result?.sentences[place], place, result?.sentences.length);
}

function empty() {
  result = place = undefined;
  panes.clear();
  languages.setDetected(undefined);
  tell("");
  select(undefined);
  warn();
}

function failed(error, again) {
  if (error.name === "AbortError") return;
  if (!(error instanceof CallError)) throw error;
  tell("");
  problem.show(error, [0, 429].includes(error.httpCode) || error.httpCode >= 500 ? again : undefined);
}

function tell(key, values = {}) {
  status = [key, values];
  const language = values.tag && nameOf(values.tag);
  byId("status").textContent = key && say(key, { language });
}

function warn() {
  const texts = (result?.warnings ?? []).map(({ reason, text = "" }) => {
    const known = has(reason) ? reason : "WARNING_REASON_UNSPECIFIED";
    return `${say(known)} ${text}`.trim();
  });
  if (result?.isCut) texts.push(say("cut"));
  byId("warnings").replaceChildren(...[...new Set(texts)].map((text) => {
    const item = document.createElement("li");
    item.textContent = text;
    return item;
  }));
  byId("warnings").hidden = !texts.length;
}

async function open(file) {
  const signal = superseded();
  made(say("fileWorking", { name: file.name }));
  try {
    const opened = await openFile(file, [languages.from.value, languages.to.value], signal);
    if (opened.text !== undefined) {
      source.value = opened.text;
      return soon(0);
    }
    const link = Object.assign(document.createElement("a"), {
      href: opened.url, download: opened.name, textContent: say("fileDone", { name: opened.name }),
    });
    made(link);
  } catch (error) {
    byId("made").hidden = true;
    const tooLarge = error.httpCode === 413 && new CallError(say("tooLarge", { name: file.name }), 413);
    failed(tooLarge || error, () => open(file));
  }
}

function made(content) {
  byId("made").hidden = false;
  byId("made").replaceChildren(content);
}

async function copy() {
  const text = result?.text ?? "";
  if (navigator.clipboard) await navigator.clipboard.writeText(text);
  else {
    // Not over plain HTTP from another machine: there a selection still can be copied.
    getSelection().selectAllChildren(byId("target"));
    document.execCommand("copy");
  }
  byId("copy").textContent = say("copied");
  setTimeout(() => (byId("copy").textContent = say("copy")), 2000);
}

function swap() {
  const text = result?.text;
  languages.exchange();
  if (text) source.value = text;
  soon(0);
}

function drawn() {
  languages.draw();
  options.draw();
  details.draw();
  problem.draw();
  tell(...status);
  warn();
  if (source.value) byId("count").textContent = say("characters", { count: format([...source.value].length) });
}

async function load() {
  problem.hide();
  try {
    const [served] = await Promise.all([languages.load(), options.load()]);
    if (!served) problem.show(new CallError(say("noLanguages"), 404));
    else if (source.value) soon(0);
  } catch (error) {
    failed(error, load);
  }
}

watchTheme(byId("theme"));
watchInterface(byId("interface"), drawn);
watchFiles(byId("drop"), byId("choose"), byId("file"), open);
source.addEventListener("input", () => soon());
for (const choice of [languages.from, languages.to]) choice.addEventListener("change", () => soon(0));
panes.addEventListener("select", ({ detail }) => select(detail.place));
byId("swap").addEventListener("click", swap);
byId("copy").addEventListener("click", copy);
byId("clear").addEventListener("click", () => {
  source.value = "";
  soon(0);
  source.focus();
});
byId("settings").addEventListener("toggle", () => glossary.load().catch((error) => problem.show(error)), { once: true });
panes.typed();
load();
