// The view that compares the list of a user with that of another release or arm.
"use strict";

// Read which releases and arms there are, and keep the choice.
async function readOthers() {
  const found = await call("GET", "v1/releases");
  const choice = at("other").value;
  const own = found.kept.filter((each) => each !== found.release);
  const releases = own.filter((each) => found.loads || found.loaded.includes(each));
  const options = [
    ...found.arms.map((each) => el("option", `arm ${each}`, { value: `arm ${each}` })),
    ...releases.map((each) => el("option", `release ${each}${found.loaded.includes(each) ? "" : ", not loaded yet"}`, { value: `release ${each}` })),
  ];
  at("other").replaceChildren(el("option", "choose a release or an arm", { value: "" }), ...options);
  at("other").value = options.some((each) => each.value === choice) ? choice : "";
  if (options.length) return "";
  return own.length ? "No other release is loaded, and the setting `compare` does not allow to load one." : "There is no other release or arm.";
}

async function compare() {
  let none = await readOthers();
  const asked = request();
  const [kind, name] = at("other").value.split(" ");
  const mine = await call("POST", "v1/recommend", asked);
  const theirs = name ? await call("POST", "v1/compare", { ...asked, [kind]: name }) : null;
  if (theirs) none = await readOthers(); // it is loaded now
  showComparison(mine, theirs);
  at("compared").textContent = none;
  tell(theirs ? `${state(mine)}${difference(mine, theirs)}` : state(mine) || "Choose what to compare with.");
}

function difference(mine, theirs) {
  const places = mine.items.map((each) => each.item);
  const both = theirs.items.filter((each) => places.includes(each.item)).length;
  const same = theirs.items.filter((each, place) => each.item === places[place]).length;
  return `${both} of ${mine.items.length} items are in both lists, ${same} at the same position.`;
}

// Show both lists beside each other; a mark says how an item moved from the left list to the right one.
function showComparison(mine, theirs) {
  const nameOf = (list) => `${list.arm ? `arm ${list.arm}, ` : ""}release ${list.release}`;
  at("mine").textContent = nameOf(mine);
  at("theirs").textContent = theirs ? nameOf(theirs) : "";
  const [left, right] = [mine.items, theirs ? theirs.items : []];
  const [before, after] = [left, right].map((list) => new Map(list.map((each, place) => [each.item, place])));
  const rows = Array.from({ length: Math.max(left.length, right.length) }, (_, place) => {
    const cells = [cell(place + 1)];
    const gone = theirs && left[place] && !after.has(left[place].item);
    cells.push(left[place] ? itemOf(left[place], gone ? [mark("gone", "gone")] : []) : cell("", ""));
    cells.push(right[place] ? itemOf(right[place], moved(before.get(right[place].item), place)) : cell("", ""));
    return el("tr", cells);
  });
  at("comparison").tBodies[0].replaceChildren(...rows);
}

function moved(before, after) {
  if (before === undefined) return [mark("new", "new")];
  if (before === after) return [];
  const [by, up] = [Math.abs(before - after), before > after];
  return [mark(`${up ? "▲" : "▼"} ${by}`, up ? "up" : "down", `${up ? "up" : "down"} by ${by}`)];
}

const mark = (text, kind, label = text) => el("span", text, { class: `mark ${kind}`, "aria-label": label, role: "img" });
