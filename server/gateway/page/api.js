// Calls to the gateway, and what goes wrong with them as one kind of error.

export class CallError extends Error {
  /** retryAfterSeconds: when to come back; undefined where the server does not say. httpCode 0: no answer. */
  constructor(message, httpCode, retryAfterSeconds) {
    super(message);
    this.httpCode = httpCode;
    this.retryAfterSeconds = retryAfterSeconds;
  }
}

export async function call(path, { body, signal } = {}) {
  const isForm = body instanceof FormData;
  const request = body === undefined ? { signal } : {
    signal,
    method: "POST",
    body: isForm ? body : JSON.stringify(body),
    headers: isForm ? {} : { "content-type": "application/json" },
  };
  let answer;
  try {
    answer = await fetch(path, request);
    if (answer.ok) return await answer.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new CallError("", 0);
  }
  throw await errorOf(answer);
}

async function errorOf(answer) {
  let message = "";
  try {
    const told = await answer.json();
    message = told.message ?? told.error ?? "";
  } catch {
    // A proxy's page: its status has to do.
  }
  const seconds = Number.parseInt(answer.headers.get("retry-after") ?? "", 10);
  return new CallError(message || `HTTP ${answer.status}`, answer.status,
    Number.isNaN(seconds) ? undefined : seconds);
}
