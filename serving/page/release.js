// The view of the release: its metrics, and what it was made from.
"use strict";

const kindOf = (artifact) => artifact.type.split(".").pop();
const short = (digest) => digest.slice(0, 12);

async function showLineage() {
  const [release, made] = [await call("GET", "v1/release"), await call("GET", "v1/lineage")];
  at("digest").textContent = `${made.release}, made ${made.created.slice(0, 16).replace("T", " ")}, digest ${short(made.content_digest)}`;
  showMetrics(release.metrics);
  at("lineage").replaceChildren(...layers(boxes(made)).map((layer) => el("li", layer.map(drawn))));
  tell(`${made.executions.length} executions made ${made.artifacts.length} artifacts`);
}

// Show the metrics as a table: a row for each metric, a column for each step.
function showMetrics(metrics) {
  const steps = Object.keys(metrics);
  const names = [...new Set(steps.flatMap((step) => Object.keys(metrics[step])))];
  at("metrics").tHead.replaceChildren(el("tr", [el("th", "Metric"), ...steps.map((step) => el("th", step.replaceAll("_", " "), { class: "number" }))]));
  at("metrics").tBodies[0].replaceChildren(
    ...names.map((name) => el("tr", [el("td", name), ...steps.map((step) => cell(number(metrics[step][name], 4)))])),
  );
}

// Return the boxes of a lineage: files, executions with what they made, and the release. `reads` has keys of boxes.
function boxes(made) {
  const artifacts = new Map(made.artifacts.map((each) => [each.id, each]));
  const maker = new Map();
  const found = new Map();
  for (const each of made.artifacts) {
    if (!each.sources.length) continue;
    const lines = each.sources.slice(0, 4).map((source) =>
      `${source.file.split("/").pop()}${source.rows ? `, ${source.rows.toLocaleString("en")} rows` : ""}${source.sha256 ? `, ${short(source.sha256)}` : ""}`);
    if (each.sources.length > 4) lines.push(`and ${each.sources.length - 4} more`);
    found.set(`files ${each.id}`, { title: each.sources.length > 1 ? "files" : "file", lines, kind: "file", reads: [] });
  }
  for (const each of made.executions) {
    for (const output of each.outputs) maker.set(output, `execution ${each.id}`);
    const outputs = each.outputs.filter((output) => artifacts.has(output)).map((output) => `${kindOf(artifacts.get(output))} ${output}`);
    const lines = [`${each.started.slice(0, 16).replace("T", " ")}, ${number(each.seconds, 1)} s`, outputs.join(", ")];
    found.set(`execution ${each.id}`, { title: each.node, lines, kind: "node", reads: [] });
  }
  for (const each of made.executions) {
    const box = found.get(`execution ${each.id}`);
    const files = each.outputs.map((output) => `files ${output}`).filter((key) => found.has(key));
    const inputs = [...each.inputs, ...each.compared_with].map((input) => maker.get(input)).filter(Boolean);
    box.reads = [...new Set([...files, ...inputs])];
  }
  const roots = made.roots.map((root) => maker.get(root)).filter(Boolean);
  found.set("release", { title: "release", lines: [made.release, `digest ${short(made.content_digest)}`], kind: "root", reads: [...new Set(roots)] });
  return found;
}

// Return the boxes in layers, each below all that its boxes read.
function layers(found) {
  const depth = new Map();
  const depthOf = (key) => {
    if (!depth.has(key)) depth.set(key, 1 + Math.max(-1, ...found.get(key).reads.map(depthOf)));
    return depth.get(key);
  };
  const result = [];
  for (const [key, box] of found) (result[depthOf(key)] ||= []).push([key, box]);
  return result;
}

function drawn([key, box]) {
  const lines = box.lines.filter(Boolean).map((line) => el("span", line));
  const button = el("button", [el("strong", box.title), ...lines], { type: "button", class: `box ${box.kind}`, "data-key": key, "data-reads": JSON.stringify(box.reads) });
  button.addEventListener("click", () => choose(button));
  return button;
}

// Mark a box, what it read, and what read it.
function choose(button) {
  const reads = (each) => JSON.parse(each.dataset.reads);
  for (const each of document.querySelectorAll("#lineage .box")) {
    each.classList.toggle("chosen", each === button);
    each.classList.toggle("read", reads(button).includes(each.dataset.key));
    each.classList.toggle("reader", reads(each).includes(button.dataset.key));
    each.setAttribute("aria-pressed", String(each === button));
  }
}
