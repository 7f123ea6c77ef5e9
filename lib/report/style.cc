#include "report/parts.h"

namespace temper {

const char* const kReportStyle = R"css(
:root { color-scheme: light dark;
  --page: #f6f7f9; --card: #fff; --ink: #17202b; --soft: #5a6675; --line: #dfe4ea; --grid: #e9edf1;
  --c0: #2563eb; --c1: #d9630b; --c2: #07875f; --c3: #c02626; --c4: #7c3aed; --c5: #0e7490;
  --good: #0a7a4f; --good-soft: #e0f4ea; --bad: #b42323; --bad-soft: #fbe6e4; --mid: #8a5a00; --mid-soft: #fbf0d5; }
@media (prefers-color-scheme: dark) { :root {
  --page: #0f141a; --card: #171e26; --ink: #e4e9ef; --soft: #98a5b3; --line: #2a333e; --grid: #232c36;
  --c0: #6ea8ff; --c1: #f6a04d; --c2: #45c99a; --c3: #f47b7b; --c4: #b69cff; --c5: #4fc3dc;
  --good: #55d3a0; --good-soft: #12362a; --bad: #f58b84; --bad-soft: #401c1b; --mid: #e8bd62; --mid-soft: #3a2e12; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 74rem; padding: 2rem clamp(1rem, 4vw, 2.5rem) 3rem; background: var(--page);
  color: var(--ink); font: 1rem/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: .2rem 0 .6rem; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 2.4rem 0 .8rem; }
.over { color: var(--soft); letter-spacing: .04em; text-transform: uppercase; font-size: .8rem; font-weight: 600; }
.pill { display: inline-block; padding: .1rem .65rem; border-radius: 1rem; font-size: .85rem; font-weight: 600;
  vertical-align: middle; margin-left: .5rem; letter-spacing: 0; background: var(--mid-soft); color: var(--mid); }
.pill.finished { background: var(--good-soft); color: var(--good); }
.pill.failed { background: var(--bad-soft); color: var(--bad); }
.facts { display: flex; flex-wrap: wrap; gap: .4rem 2rem; margin: 0; }
.facts dt { color: var(--soft); font-size: .8rem; }
.facts dd { margin: 0; overflow-wrap: anywhere; font-variant-numeric: tabular-nums; }
progress { display: block; width: 100%; height: .5rem; margin-top: 1rem; accent-color: var(--c0); }
.tiles { margin-top: 1.4rem; display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 15rem), 1fr)); gap: 1rem; }
.tile, .chart, .sample, details { background: var(--card); border: 1px solid var(--line); border-radius: .6rem; }
.tile { padding: .9rem 1.1rem; }
.tile h3 { margin: 0; font-size: .85rem; color: var(--soft); font-weight: 600; }
.tile .now { font-size: 2rem; font-weight: 650; line-height: 1.25; font-variant-numeric: tabular-nums; }
.tile .was { color: var(--soft); font-size: 1.25rem; font-weight: 400; }
.tile p { margin: .1rem 0 0; color: var(--soft); font-size: .85rem; font-variant-numeric: tabular-nums; }
.tile p.up { color: var(--good); font-weight: 600; } .tile p.down { color: var(--bad); font-weight: 600; }
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 21rem), 1fr)); gap: 1rem; }
.chart { margin: 0; padding: .8rem .9rem .5rem; min-width: 0; }
.chart.wide { grid-column: 1 / -1; }
.chart svg { width: 100%; height: auto; overflow: visible; }
svg { display: block; }
.chart p { margin: .1rem 0 .2rem; color: var(--soft); font-size: .78rem; line-height: 1.35; }
figcaption { display: flex; flex-wrap: wrap; align-items: baseline; gap: 0 .5rem; font-size: .92rem;
  margin-bottom: .3rem; }
.unit { color: var(--soft); font-size: .78rem; }
.legend { margin-left: auto; display: flex; flex-wrap: wrap; gap: 0 .9rem; font-size: .8rem; color: var(--soft); }
.legend i { display: inline-block; width: .9rem; height: 0; border-top: 3px solid var(--c); vertical-align: middle;
  margin-right: .3rem; }
.legend output { color: var(--ink); font-weight: 600; font-variant-numeric: tabular-nums; }
.s0 { --c: var(--c0); } .s1 { --c: var(--c1); } .s2 { --c: var(--c2); } .s3 { --c: var(--c3); }
.s4 { --c: var(--c4); } .s5 { --c: var(--c5); }
svg.small { display: none; }
@media (max-width: 40rem) { svg.large { display: none; } .chart svg.small { display: block; } }
svg path { fill: none; stroke-linecap: round; stroke-linejoin: round; vector-effect: non-scaling-stroke; }
svg .grid { stroke: var(--grid); stroke-width: 1; }
svg .tick { fill: var(--soft); font-size: 11.5px; } svg .end { text-anchor: end; } svg .mid { text-anchor: middle; }
svg .line { stroke: var(--c); stroke-width: 2; } svg .raw { stroke: var(--c); stroke-width: 1; opacity: .35; }
svg .band { fill: var(--c); opacity: .14; } svg .whisker { stroke: var(--c); stroke-width: 1.5; opacity: .6; }
.shares svg { height: 2.1rem; } .shares rect { fill: var(--c); stroke: var(--card); stroke-width: 1; }
.shares .legend { margin: .5rem 0 .2rem; gap: .1rem 1.2rem; } .shares .legend i { border-top-width: .6rem; }
.shares rect.pale, .legend .pale i { opacity: .55; }
svg circle { fill: var(--card); stroke: var(--c); stroke-width: 2; }
.sample { margin: 0 0 1rem; overflow: hidden; }
.sample > pre { margin: 0; padding: .7rem 1rem; border-bottom: 1px solid var(--line); color: var(--soft); max-height: 9rem; }
.sides { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 20rem), 1fr)); }
.side { padding: .6rem 1rem .8rem; min-width: 0; } .side + .side { border-left: 1px solid var(--line); }
.side header { display: flex; flex-wrap: wrap; gap: .2rem .5rem; align-items: center; font-size: .8rem;
  color: var(--soft); margin-bottom: .4rem; }
.turn { margin: .5rem 0 0; } .turn > b { font-size: .78rem; color: var(--soft); font-weight: 600; }
.turn.other > pre { background: var(--grid); }
.badge { padding: .05rem .5rem; border-radius: .3rem; font-weight: 600; font-variant-numeric: tabular-nums;
  background: var(--mid-soft); color: var(--mid); }
.badge.good { background: var(--good-soft); color: var(--good); }
.badge.bad { background: var(--bad-soft); color: var(--bad); }
pre { font: .84rem/1.5 ui-monospace, "Cascadia Mono", Menlo, "DejaVu Sans Mono", monospace; white-space: pre-wrap;
  overflow-wrap: anywhere; overflow: auto; unicode-bidi: isolate; margin: 0; max-height: 22rem; }
details { margin-top: 1rem; padding: .6rem 1rem; } summary { cursor: pointer; font-weight: 600; }
details pre { margin-top: .6rem; max-height: none; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; margin-top: .6rem; font-size: .88rem; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: .25rem .9rem .25rem 0; border-bottom: 1px solid var(--line); white-space: nowrap; }
th { color: var(--soft); font-weight: 600; }
footer { margin-top: 2.5rem; color: var(--soft); font-size: .8rem; }
:focus-visible { outline: 2px solid var(--c0); outline-offset: 2px; }
@media print { body { background: #fff; } .chart, .sample, .tile { break-inside: avoid; } pre { max-height: none; } }
)css";

}  // namespace temper
