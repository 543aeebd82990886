// The view of the last hour: answers per minute, arms, degraded answers and times.
"use strict";

const SVG = "http://www.w3.org/2000/svg";
const [WIDTH, HEIGHT] = [600, 120];

async function showActivity() {
  const found = await call("GET", "v1/activity");
  const counts = (of) => Object.entries(of).map(([name, value]) => `${name}: ${value.toLocaleString("en")}`).join(", ");
  const ms = (value) => (value === null ? "none yet" : `${value.toPrecision(3)} ms`);
  const facts = {
    Answers: found.answers.toLocaleString("en"), Median: ms(found.p50_ms), "99 %": ms(found.p99_ms),
    Arms: counts(found.arms) || "none", Degraded: counts(found.degraded) || "none",
  };
  at("totals").replaceChildren(...Object.entries(facts).map(([name, value]) => el("div", [el("dt", name), el("dd", value)])));
  const minutes = found.minutes;
  chart("answers", minutes, [["answers", "full"], ["degraded", "degraded"]], "");
  chart("times", minutes, [["p99_ms", "slow"], ["p50_ms", "full"]], " ms");
  tell(`${minutes.filter((each) => each.answers).length} of ${minutes.length} minutes have answers`);
}

// Draw bars per minute; the bars of later series cover a part of those before.
function chart(id, minutes, series, unit) {
  const top = Math.max(...series.flatMap(([name]) => minutes.map((each) => each[name] || 0)));
  const wide = WIDTH / minutes.length;
  const bars = series.flatMap(([name, kind]) => minutes.map((each, place) => {
    const high = top ? ((each[name] || 0) / top) * HEIGHT : 0;
    const bar = drawing("rect", { x: place * wide + 1, y: HEIGHT - high, width: wide - 2, height: high, class: kind });
    bar.append(drawing("title", {}, `${hour(each.minute)}: ${name.replace("_ms", "")} ${each[name] ?? "none"}${each[name] ? unit : ""}`));
    return bar;
  }));
  const label = `${id} per minute, at most ${top.toPrecision(3)}${unit}`;
  const svg = drawing("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": label });
  svg.append(...bars);
  const ends = el("p", [el("span", hour(minutes[0].minute)), el("span", top ? `highest ${Number(top.toPrecision(3))}${unit}` : "nothing yet"), el("span", "now")], { class: "ends" });
  at(id).replaceChildren(svg, ends);
}

const hour = (seconds) => new Date(seconds * 1000).toTimeString().slice(0, 5);

function drawing(name, attributes, text = "") {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.textContent = text;
  return element;
}
