// Checks custom resources against their CRDs' schemas.
//
// node custom_resources.mjs FOLDER < resources.json
//
// FOLDER holds node_modules; the input is a JSON list of resources. Prints a JSON list with one entry for each: null, or what is wrong.

import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

const PACKAGES = {
  "cert-manager.io": "cert-manager",
  "gateway.networking.k8s.io": "gateway-api",
  "keda.sh": "keda",
  "monitoring.coreos.com": "prometheus-operator",
};
const models = join(resolve(process.argv[2]), "node_modules/@kubernetes-models");

// The validators let unknown fields pass, as the API server does, which then drops them. But they read every field that the schema
// knows: one that nobody has read is misspelt.
function watched(value, path, unread) {
  if (value === null || typeof value !== "object") {
    return value;
  }
  const copy = Array.isArray(value) ? [] : {};
  for (const [key, child] of Object.entries(value)) {
    copy[key] = watched(child, `${path}/${key}`, unread);
    unread.add(`${path}/${key}`);
  }
  return new Proxy(copy, {
    get(target, key) {
      unread.delete(`${path}/${String(key)}`);
      return target[key];
    },
  });
}

async function fault({ apiVersion, kind, ...rest }) {
  const folder = PACKAGES[apiVersion.split("/")[0]];
  const module = join(models, folder ?? "", apiVersion, "index.js");
  const Model = folder && existsSync(module) && (await import(pathToFileURL(module)))[kind];
  if (!Model) {
    return `no schema for ${kind} of ${apiVersion}`;
  }
  const unread = new Set();
  const model = new Model(rest);
  model.spec = watched(model.spec, "spec", unread);
  try {
    model.validate();
    return unread.size === 0 ? null : `unknown: ${[...unread].join(", ")}`;
  } catch (error) {
    return error.message;
  }
}

const resources = JSON.parse(readFileSync(0, "utf8"));
console.log(JSON.stringify(await Promise.all(resources.map(fault))));
