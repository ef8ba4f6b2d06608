// Every word of the interface, in each of its languages.

export const MESSAGES = {
  en: {
    skip: "Skip to the text", dark: "Dark", from: "Translate from", to: "Translate into",
    swap: "Swap the languages", source: "Text to translate", target: "Translation",
    sentences: "Translation, a button for each sentence", placeholder: "Type, paste or drop a file",
    file: "File …", clear: "Clear", copy: "Copy", copied: "Copied", again: "Try again", auto: "Detect language",
    detected: "Detected: {language}", translating: "Translating …", done: "Translated",
    characters: "{count} characters", warnings: "Warnings", sentence: "Sentence {place} of {count}",
    others: "Alternatives", othersNone: "The search found no other. Only beam search gives alternatives.",
    use: "Use: {text}", heat: "What each word looked at",
    heatHelp: "Attention in percent: a row for each token of the translation, a column for each of the source.",
    heatNone: "None: the model gives no attention, or the text is longer than {count} characters.",
    settings: "Search options", model: "Model", byDefault: "Default", alternatives: "Alternatives",
    method: "Search", beam: "Beam search", sampling: "Sampling", contrastive: "Contrastive search",
    beamSize: "Beam size", lengthPenalty: "Length penalty", temperature: "Temperature", topP: "Top-p",
    topK: "Top-k", seed: "Seed", penaltyAlpha: "Penalty", byModel: "the model's", byServer: "the server's",
    random: "random", glossary: "Glossary",
    glossaryHelp: "A term a line: “cat = micio”. A term alone stays as it is.",
    noAnswer: "The server does not answer.", wait: "{message} Trying again in {seconds} s.",
    busy: "The server is busy.", unsupported: "{name}: this server takes {formats}.",
    tooLarge: "{name} is larger than this server takes.", fileWorking: "Translating {name} …",
    fileDone: "Save {name}", noText: "{name} is no text in UTF-8.", noLanguages: "The server serves no languages.",
    cut: "The translation was cut at the limit of length.",
    WARNING_REASON_SENTENCE_SPLIT: "A sentence was too long for the model and was translated in parts.",
    WARNING_REASON_UNTRANSLATED: "A word was too long and was copied.",
    WARNING_REASON_INVISIBLE_CHARACTERS: "Invisible characters were dropped.",
    WARNING_REASON_PLACEHOLDER: "Not kept as it is in the source:",
    WARNING_REASON_GLOSSARY: "A term of the glossary is missing:",
    WARNING_REASON_WRONG_SCRIPT: "It is in another script than the language’s.",
    WARNING_REASON_NOT_COVERED: "Perhaps not translated:",
    WARNING_REASON_NUMBER: "A number may be missing, or written as a word:",
    WARNING_REASON_REPETITION: "The translation repeats itself.",
    WARNING_REASON_TOO_LONG: "The translation is far longer than the source.",
    WARNING_REASON_TOO_SHORT: "The translation is far shorter than the source.",
    WARNING_REASON_SOURCE_COPIED: "The translation is the source, word by word.",
    WARNING_REASON_MARKUP: "Markup may stand in another place.",
    WARNING_REASON_UNSPECIFIED: "Something looks wrong:",
  },
  it: {
    skip: "Vai al testo", dark: "Scuro", from: "Traduci da", to: "Traduci in",
    swap: "Scambia le lingue", source: "Testo da tradurre", target: "Traduzione",
    sentences: "Traduzione, un pulsante per ogni frase", placeholder: "Scrivi, incolla o trascina un file",
    file: "File …", clear: "Cancella", copy: "Copia", copied: "Copiato", again: "Riprova", auto: "Rileva lingua",
    detected: "Rilevata: {language}", translating: "Traduzione in corso …", done: "Tradotto",
    characters: "{count} caratteri", warnings: "Avvisi", sentence: "Frase {place} di {count}",
    others: "Alternative", othersNone: "La ricerca non ne ha trovate altre. Solo la ricerca a fascio ne dà.",
    use: "Usa: {text}", heat: "A che cosa ha guardato ogni parola",
    heatHelp: "Attenzione in percento: una riga per ogni token della traduzione, una colonna per ogni token del testo.",
    heatNone: "Nessuna: il modello non la dà, o il testo ha più di {count} caratteri.",
    settings: "Opzioni di ricerca", model: "Modello", byDefault: "Predefinito", alternatives: "Alternative",
    method: "Ricerca", beam: "A fascio (beam)", sampling: "Campionamento", contrastive: "Contrastiva",
    beamSize: "Larghezza del fascio", lengthPenalty: "Penalità di lunghezza", temperature: "Temperatura",
    topP: "Top-p", topK: "Top-k", seed: "Seme", penaltyAlpha: "Penalità", byModel: "del modello",
    byServer: "del server", random: "casuale", glossary: "Glossario",
    glossaryHelp: "Un termine per riga: «cat = micio». Un termine da solo resta com’è.",
    noAnswer: "Il server non risponde.", wait: "{message} Nuovo tentativo fra {seconds} s.",
    busy: "Il server è occupato.", unsupported: "{name}: questo server accetta {formats}.",
    tooLarge: "{name} è più grande di quanto il server accetti.", fileWorking: "Traduzione di {name} …",
    fileDone: "Salva {name}", noText: "{name} non è testo in UTF-8.", noLanguages: "Il server non ha lingue.",
    cut: "La traduzione è stata troncata al limite di lunghezza.",
    WARNING_REASON_SENTENCE_SPLIT: "Una frase era troppo lunga per il modello ed è stata tradotta a pezzi.",
    WARNING_REASON_UNTRANSLATED: "Una parola era troppo lunga ed è stata copiata.",
    WARNING_REASON_INVISIBLE_CHARACTERS: "I caratteri invisibili sono stati tolti.",
    WARNING_REASON_PLACEHOLDER: "Non mantenuto com’è nel testo:",
    WARNING_REASON_GLOSSARY: "Manca un termine del glossario:",
    WARNING_REASON_WRONG_SCRIPT: "È in una scrittura diversa da quella della lingua.",
    WARNING_REASON_NOT_COVERED: "Forse non tradotto:",
    WARNING_REASON_NUMBER: "Un numero forse manca, o è scritto in lettere:",
    WARNING_REASON_REPETITION: "La traduzione si ripete.",
    WARNING_REASON_TOO_LONG: "La traduzione è molto più lunga del testo.",
    WARNING_REASON_TOO_SHORT: "La traduzione è molto più corta del testo.",
    WARNING_REASON_SOURCE_COPIED: "La traduzione è uguale al testo, parola per parola.",
    WARNING_REASON_MARKUP: "Il markup potrebbe essere in un altro punto.",
    WARNING_REASON_UNSPECIFIED: "Qualcosa sembra sbagliato:",
  },
};
const NAMES = { en: "English", it: "Italiano" };

let language = localStorage.getItem("interface")
  ?? navigator.languages.map((tag) => tag.slice(0, 2)).find((tag) => tag in MESSAGES) ?? "en";

/** A message with its {places} filled. */
export function say(key, values = {}) {
  return MESSAGES[language][key].replace(/\{(\w+)\}/g, (_, name) => values[name]);
}

export function has(key) {
  return key in MESSAGES.en;
}

/** A language's name in the interface's own. */
export function nameOf(tag) {
  try {
    const name = new Intl.DisplayNames([language], { type: "language" }).of(tag);
    return name[0].toLocaleUpperCase(language) + name.slice(1);
  } catch {
    return tag;
  }
}

export function format(number) {
  return new Intl.NumberFormat(language).format(number);
}

/** Let a button change the language; onChange draws again what was made by code. */
export function watchInterface(button, onChange) {
  const show = () => {
    document.documentElement.lang = language;
    const other = language === "en" ? "it" : "en";
    button.textContent = NAMES[other];
    button.lang = other;
    for (const node of document.querySelectorAll("[data-text]")) node.textContent = say(node.dataset.text);
    for (const node of document.querySelectorAll("[data-label]")) node.ariaLabel = say(node.dataset.label);
    for (const node of document.querySelectorAll("[data-placeholder]")) {
      node.placeholder = say(node.dataset.placeholder);
    }
  };
  button.addEventListener("click", () => {
    language = language === "en" ? "it" : "en";
    localStorage.setItem("interface", language);
    show();
    onChange();
  });
  show();
}
