// The chat box: one conversation, streamed from /v1/chat/completions, stopped by the reader or the button. Keeps nothing.
"use strict";

const $ = (id) => document.getElementById(id);
let conversation = [];
let stopping = null; // an AbortController while an answer is being written

async function listModels() {
  const select = $("model");
  try {
    const { data } = await (await fetch("/v1/models")).json();
    select.replaceChildren(...data.map((m) => new Option(m.id, m.id)));
    select.disabled = data.length === 0;
    if (data.length === 0) say("hint", "No model is served yet. Start one with eke up; this page looks again by itself.");
    return data.length > 0;
  } catch {
    say("hint", "The gateway does not answer. Is eke up running?");
    return false;
  }
}

async function waitForModels() {
  while (!(await listModels())) await new Promise((next) => setTimeout(next, 3000));
}

function say(kind, text) {
  const existing = kind === "hint" && $("hint");
  const p = existing || document.createElement("div");
  p.className = kind;
  render(p, text);
  if (!existing) $("talk").append(p);
  $("talk").scrollTop = $("talk").scrollHeight;
  return p;
}

// Text as text; between ``` fences as code. No HTML of the model's is ever read as HTML.
function render(element, text) {
  element.replaceChildren(
    ...text.split("```").map((piece, i) => {
      if (i % 2 === 0) return document.createTextNode(piece);
      const code = document.createElement("code");
      code.textContent = piece.replace(/^\w*\n/, "");
      const pre = document.createElement("pre");
      pre.append(code);
      return pre;
    }),
  );
}

async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines) {
      const data = line.startsWith("data:") ? line.slice(5).trim() : "";
      if (data && data !== "[DONE]") yield JSON.parse(data);
    }
  }
}

async function answer(shown) {
  const began = performance.now();
  let first = null, text = "", usage = null;
  const response = await fetch("/v1/chat/completions", {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-Eke-App": "console" },
    body: JSON.stringify({ model: $("model").value, messages: conversation, stream: true, stream_options: { include_usage: true } }),
    signal: stopping.signal,
  });
  if (!response.ok) {
    const body = await response.json().catch(() => ({}));
    throw new Error(body.error?.message || `status ${response.status}`);
  }
  try {
    for await (const event of events(response)) {
      if (event.error) throw new Error(event.error.message || "the answer broke off");
      usage = event.usage || usage;
      const piece = event.choices?.[0]?.delta?.content;
      if (!piece) continue;
      first ??= performance.now();
      text += piece;
      const atEnd = $("talk").scrollHeight - $("talk").scrollTop - $("talk").clientHeight < 40;
      render(shown, text);
      if (atEnd) $("talk").scrollTop = $("talk").scrollHeight;
    }
  } finally {
    if (text) conversation.push({ role: "assistant", content: text });
    spent(usage, began, first);
  }
}

function spent(usage, began, first) {
  if (!first) return;
  const seconds = (performance.now() - first) / 1000;
  const words = [`first token after ${((first - began) / 1000).toFixed(2)} s`];
  if (usage) {
    words.push(`${usage.prompt_tokens} tokens read, ${usage.completion_tokens} written`);
    if (usage.completion_tokens > 1 && seconds > 0) words.push(`${((usage.completion_tokens - 1) / seconds).toFixed(1)} a second`);
  }
  $("spent").textContent = words.join(" · ");
}

function busy(yes) {
  $("send").hidden = yes;
  $("stop").hidden = !yes;
  $("talk").setAttribute("aria-busy", String(yes));
}

async function send(event) {
  event.preventDefault();
  const text = $("said").value.trim();
  if (!text || stopping || $("model").disabled) return;
  $("hint")?.remove();
  $("said").value = "";
  conversation.push({ role: "user", content: text });
  say("you", text);
  const shown = say("it", "…");
  stopping = new AbortController();
  busy(true);
  try {
    await answer(shown);
  } catch (error) {
    if (error.name === "AbortError") shown.classList.add("stopped");
    else say("fault", error.message);
    if (shown.textContent === "…") shown.remove();
  } finally {
    stopping = null;
    busy(false);
    $("said").focus();
  }
}

document.addEventListener("DOMContentLoaded", () => {
  $("ask").addEventListener("submit", send);
  $("stop").addEventListener("click", () => stopping?.abort());
  $("clear").addEventListener("click", () => {
    stopping?.abort();
    conversation = [];
    $("talk").replaceChildren();
    $("spent").textContent = "";
    $("said").focus();
  });
  $("said").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) send(event);
  });
  waitForModels();
});
