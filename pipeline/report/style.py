"""The style of the report, in light and in dark."""

STYLE = """
:root {
  color-scheme: light dark;
  --ground: #ffffff; --panel: #f6f8fa; --text: #1b222c; --quiet: #57606d; --rule: #d9dee5;
  --accent: #1c5fb8; --tint: #e9f1fb; --dot: #69737f; --good: #14713f; --bad: #b3261e;
  --shade0: #1c5fb8; --shade1: #7fa9dd; --shade2: #c2862b;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #11151b; --panel: #191f27; --text: #e6eaf0; --quiet: #a1abb8; --rule: #303946;
    --accent: #82b4ff; --tint: #1b2a40; --dot: #9aa5b3; --good: #63d196; --bad: #ff9187;
    --shade0: #82b4ff; --shade1: #4273b5; --shade2: #e3ac56;
  }
}
* { box-sizing: border-box; }
html { scroll-behavior: smooth; scroll-padding-top: 3.5rem; }
body {
  margin: 0; background: var(--ground); color: var(--text);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif;
}
header, main { max-width: 72rem; margin: 0 auto; padding: 0 1.5rem; }
header { padding-top: 2.5rem; }
h1, h2, h3 { line-height: 1.25; text-wrap: balance; }
h1 { font-size: 2rem; margin: 0; }
h2 { font-size: 1.4rem; margin: 0 0 1rem; }
h3 { font-size: 1.05rem; margin: 2rem 0 .5rem; }
p { margin: .5rem 0; max-width: 46rem; }
h1, h3, p, li > span, dd { overflow-wrap: anywhere; }
section { padding: 2.25rem 0; border-top: 1px solid var(--rule); }
section:first-child { border-top: 0; }
a { color: var(--accent); }
code { font: .92em ui-monospace, "Cascadia Mono", Menlo, Consolas, monospace; overflow-wrap: anywhere; }
small { display: block; color: var(--quiet); font-size: .78rem; line-height: 1.35; }
nav ul { display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; list-style: none; margin: 1rem 0 0; padding: 0; }
nav a { text-decoration: none; }
nav a:hover { text-decoration: underline; }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
.note { color: var(--quiet); font-size: .9rem; }
.good { color: var(--good); } .bad { color: var(--bad); } .quiet { color: var(--quiet); }
.unseen { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }

.verdict { background: var(--panel); border-radius: .6rem; padding: .75rem 1.25rem; }
.badge {
  font-weight: 650; border: 1.5px solid; border-radius: 2rem; padding: .15rem .8rem; margin-right: .5rem;
  white-space: nowrap;
}
.rules, .findings { list-style: none; margin: .75rem 0; padding: 0; }
.rules li, .findings li { display: flex; gap: .6rem; margin: .3rem 0; max-width: 60rem; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(13rem, 1fr)); gap: 1rem; margin: 1.25rem 0; }
.tile { border: 1px solid var(--rule); border-radius: .6rem; padding: .9rem 1.1rem; }
.tile h3 { margin: 0; font-size: .9rem; font-weight: 600; color: var(--quiet); }
.tile p { margin: 0; }
.tile .big {
  font-size: 2rem; line-height: 1.3; font-weight: 650; font-variant-numeric: tabular-nums; color: var(--accent);
}
.tile table { width: 100%; margin-top: .6rem; font-size: .85rem; }
.tile th, .tile td { border: 0; padding: .1rem 0; font-weight: 400; color: var(--quiet); }
.pair {
  display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 28rem), 1fr)); gap: 1rem 2.5rem;
  align-items: start;
}
.pair > * { min-width: 0; }

.scroll { overflow-x: auto; position: relative; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; position: relative; }
.scroll > table { margin: .75rem 0; min-width: min(100%, 26rem); }
th, td {
  padding: .4rem .8rem; text-align: right; vertical-align: top; border-bottom: 1px solid var(--rule);
  white-space: nowrap;
}
th { font-weight: 600; }
thead th { color: var(--quiet); vertical-align: bottom; border-bottom-width: 2px; }
th:first-child, td:first-child, .words { text-align: left; }
.scroll th:first-child { position: sticky; left: 0; background: var(--ground); }
.words { white-space: normal; min-width: 7rem; }
td.subject, th.subject { background: var(--tint); }
.k { color: var(--quiet); font-weight: 400; }
.scroll .k:first-child { position: static; text-align: right; }
.metrics { width: 100%; }
td.best strong { color: var(--accent); }
.nodes { width: 100%; }
.nodes .wide { width: 60%; }
.nodes th, .nodes td { padding-top: .2rem; padding-bottom: .2rem; vertical-align: middle; }
.length { display: block; height: .8rem; min-width: 2px; border-radius: 2px; background: var(--accent); }
.length.cached, .length.skipped { background: none; border: 1.5px solid var(--dot); }
.length.failed { background: var(--bad); }
.bar { display: flex; gap: 2px; height: 1.4rem; border-radius: .3rem; overflow: hidden; max-width: 46rem; }
.shade0 { background: var(--shade0); } .shade1 { background: var(--shade1); } .shade2 { background: var(--shade2); }
.keys {
  display: flex; flex-wrap: wrap; gap: .25rem 1.5rem; list-style: none; margin: .6rem 0; padding: 0;
  font-size: .9rem;
}
.key { display: inline-block; width: .8rem; height: .8rem; border-radius: 2px; margin-right: .5rem; }
details { margin-top: 2rem; border: 1px solid var(--rule); border-radius: .6rem; padding: .75rem 1.25rem; }
summary { cursor: pointer; font-weight: 600; }
dl {
  display: grid; grid-template-columns: minmax(9rem, max-content) 1fr; gap: .6rem 1.5rem; margin: 1rem 0;
  max-width: 60rem;
}
dt { font-weight: 600; } dd { margin: 0; }
@media (max-width: 40rem) { dl { grid-template-columns: 1fr; gap: 0; } dd { margin-bottom: .75rem; } }

figure { margin: 1.25rem 0; }
figcaption { font-size: .95rem; margin-bottom: .4rem; }
svg {
  display: block; width: 100%; max-width: 32rem; height: auto;
  font: 12px system-ui, "Segoe UI", Roboto, sans-serif;
}
svg text { fill: var(--text); font-variant-numeric: tabular-nums; }
svg .tick { fill: var(--quiet); font-size: 11px; }
svg .heading { font-weight: 650; }
svg .value { paint-order: stroke; stroke: var(--ground); stroke-width: 3px; }
svg .grid { stroke: var(--rule); }
svg .zero { stroke: var(--text); }
svg .mark { stroke: var(--text); stroke-dasharray: 4 3; }
svg .interval { stroke: var(--dot); stroke-width: 2.5; stroke-linecap: round; }
svg circle { fill: var(--dot); }
svg .strong circle, svg .step, svg .kept { fill: var(--accent); }
svg .strong .interval { stroke: var(--accent); }
svg.mixed .strong text { font-weight: 650; }
svg .curve { fill: none; stroke: var(--accent); stroke-width: 2; }
svg .kept { stroke: var(--ground); stroke-width: 2; }
.drawing {
  background: #ffffff; border: 1px solid var(--rule); border-radius: .6rem; padding: 1rem; max-height: 85vh;
  overflow: auto;
}
.drawing img { display: block; margin: 0 auto; }
@media (max-width: 40rem) {
  header, main { padding: 0 1rem; }
  .scroll th:first-child { position: static; }
}
@media print { .scroll { overflow: visible; } section { break-inside: auto; } nav { display: none; } }
"""
