// The page of the server: a user's list, what it is made of, and events. It calls only the routes of this server.
"use strict";

const at = (id) => document.getElementById(id);
let columns = {};

// Call a route and return its answer; throw an Error with the server's explanation.
async function call(method, path, body) {
  const headers = { "Content-Type": "application/json" };
  if (at("token").value) headers.Authorization = `Bearer ${at("token").value}`;
  const response = await fetch(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
  if (response.status === 401) at("token-label").hidden = false;
  const text = await response.text();
  const answer = text ? JSON.parse(text) : null;
  if (!response.ok) throw new Error(answer && answer.detail ? answer.detail : `the server answered ${response.status}`);
  return answer;
}

function tell(text, failed = false) {
  at("message").textContent = text;
  at("message").className = failed ? "error" : "";
}

// Return an element with text or children; text is never parsed as markup.
function el(name, content, attributes = {}) {
  const element = document.createElement(name);
  for (const child of Array.isArray(content) ? content : [content]) element.append(child);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}

const number = (value, digits = 3) => (value === null || value === undefined ? "" : Number(value).toFixed(digits));
const cell = (value, kind = "number") => el("td", String(value), { class: kind });
const itemOf = (each, more = []) => el("td", each.title ? [each.title, " ", el("span", each.item, { class: "id" }), ...more] : [each.item, ...more]);

const views = { list: recommend, compare, lineage: showLineage, activity: showActivity };
let view = "list";

// Show a view and read what it shows.
async function openView(name) {
  view = name;
  for (const part of document.querySelectorAll("[data-in]")) part.hidden = !part.dataset.in.split(" ").includes(name);
  for (const button of document.querySelectorAll("nav button")) {
    if (button.dataset.view === name) button.setAttribute("aria-current", "page");
    else button.removeAttribute("aria-current");
  }
  await shown();
}

// Read what the present view shows.
async function shown() {
  remember();
  tell("…");
  try {
    await load();
    await views[view]();
  } catch (error) {
    tell(error.message, true);
  }
}

// Write user and view into the address, so that it can be opened again.
function remember() {
  const of = view === "list" ? "" : `&view=${view}`;
  location.hash = `user=${encodeURIComponent(at("user").value)}${of}`;
}

// Return why an item is in the list: what of the history is like it, and where it would be without a rule.
function why(of) {
  if (!of) return [];
  const near = of.nearest.map((each) => `${each.title || each.item} ${number(each.similarity, 2)}`).join("; ");
  const rules = Object.entries(of.without).filter(([, place]) => place !== of.position)
    .map(([rule, place]) => (place === null ? `not listed without ${rule}` : `number ${place} without ${rule}`));
  const lines = [...(near ? [`near ${near}`] : []), ...(rules.length ? [rules.join(", ")] : [])];
  return lines.map((line) => el("span", line, { class: "why" }));
}

// Return the conditions of the form: values separated by commas, or a range such as 1990–1999 of a numeric column.
function filters() {
  const column = at("column").value;
  const text = at("values").value.trim();
  if (!column || !text) return [];
  const range = text.match(/^(-?[\d.]*)\s*(?:–|\.\.)\s*(-?[\d.]*)$/);
  if (range && (range[1] || range[2])) {
    const condition = { column };
    if (range[1]) condition.at_least = Number(range[1]);
    if (range[2]) condition.at_most = Number(range[2]);
    return [condition];
  }
  const values = text.split(",").map((each) => each.trim()).filter(Boolean);
  return [{ column, any_of: columns[column] === "number" ? values.map(Number) : values }];
}

function request() {
  return { user: at("user").value, k: Number(at("k").value), filters: filters(), include_seen: at("seen").checked };
}

async function recommend() {
  const asked = request();
  if (!asked.user) return;
  const began = performance.now();
  const [list, made] = [await call("POST", "v1/recommend", asked), await call("POST", "v1/explain", asked)];
  show(list, made);
  tell(`${state(list)}${list.items.length} items in ${Math.round(performance.now() - began)} ms`);
}

// Return what should be known of an answer.
function state(list) {
  const known = list.known ? "" : "This user is new: neither the release nor the store knows them. ";
  return known + (list.degraded ? `The answer is degraded: ${list.degraded}. ` : "");
}

function show(list, made) {
  const ranks = new Map(made.candidates.map((each) => [each.item, each]));
  at("list").tBodies[0].replaceChildren(
    ...list.items.map((each, place) => {
      const of = ranks.get(each.item);
      const button = el("button", "Interacted", { type: "button", "aria-label": `Post an event with ${each.title || each.item}` });
      button.addEventListener("click", () => interact(each));
      return el("tr", [
        cell(place + 1), itemOf(each, why(of)), cell(number(each.probability), "number also"),
        cell(each.retrieval_rank ?? "", "number also"), cell(of ? of.ranker_rank : "", "number also"), el("td", button),
      ]);
    }),
  );
  const features = Object.entries(made.features).filter(([, value]) => value !== null && value !== "");
  at("features").textContent = features.map(([name, value]) => `${name}: ${value}`).join(", ");
  at("history").replaceChildren(
    ...[...made.history].reverse().map((each) =>
      el("li", [each.title || each.item, each.timestamp ? el("span", ` ${new Date(each.timestamp * 1000).toISOString().slice(0, 10)}`, { class: "id" }) : ""])),
  );
  at("counts").textContent = `${made.candidates.length} candidates. Left out: ${made.seen} seen, ${made.hidden} hidden or excluded, ` +
    `${made.filtered} that do not fulfil the filter.`;
  const members = [...new Set(made.candidates.flatMap((each) => Object.keys(each.signals)))]
    .filter((name) => name.startsWith("rank_of_")).sort();
  const heads = ["Item", "Retrieved", "Score", ...members.map((name) => name.slice("rank_of_".length)), "Ranked", "Probability", "List"];
  at("candidates").tHead.replaceChildren(el("tr", heads.map((head, place) => el("th", head, place ? { class: "number" } : {}))));
  at("candidates").tBodies[0].replaceChildren(
    ...made.candidates.slice(0, 100).map((each) =>
      el("tr", [
        itemOf(each), cell(each.retrieval_rank), cell(number(each.retrieval_score)),
        ...members.map((name) => cell(each.signals[name] === null ? "" : Math.round(each.signals[name]) + 1)),
        cell(each.ranker_rank), cell(number(each.probability)), cell(each.position ?? ""),
      ], each.position ? { class: "listed" } : {})),
  );
}

async function interact(item) {
  try {
    await call("POST", "v1/events", { events: [{ user: at("user").value, item: item.item }] });
    await shown();
  } catch (error) {
    tell(error.message, true);
  }
}

// Read which release is served, its columns and some users, unless they were read before.
async function load() {
  const release = await call("GET", "v1/release");
  at("release").textContent = `${release.name}, release ${release.release}`;
  if (Object.keys(columns).length) return;
  const users = await call("GET", "v1/users?k=200");
  columns = release.columns;
  at("column").append(...Object.keys(columns).map((name) => el("option", name)));
  at("users").append(...users.map((user) => el("option", "", { value: user })));
  if (!at("user").value) at("user").value = users[0] || "";
  remember();
}

function begin() {
  at("query").addEventListener("submit", (event) => {
    event.preventDefault();
    shown();
  });
  at("again").addEventListener("click", shown);
  at("other").addEventListener("change", shown);
  for (const button of document.querySelectorAll("nav button")) {
    button.addEventListener("click", () => openView(button.dataset.view));
  }
  const given = new URLSearchParams(location.hash.slice(1));
  at("user").value = given.get("user") || "";
  openView(given.get("view") in views ? given.get("view") : "list");
}

begin();
