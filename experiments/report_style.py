"""The style sheet of the page of experiments.report: light and dark, one column on a telephone, and no file to load; and that of a picture alone."""

from __future__ import annotations

COLOURS = """
:root { color-scheme: light dark; --paper: #ffffff; --ink: #1b1f24; --faint: #57606a; --line: #d0d7de; --band: #f3f5f8; --accent: #1f5fd0;
  --s0: #1f5fd0; --s1: #b4460f; --s2: #1a7f37; --s3: #8a3ffc; --s4: #9a6700; --s5: #0f7b8a; --s6: #bf3989; --s7: #57606a; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #14171c; --ink: #e6e9ed; --faint: #a3adb8; --line: #3a424c; --band: #1d2229; --accent: #6ea0ff;
    --s0: #6ea0ff; --s1: #ff9b5e; --s2: #5fd17a; --s3: #bf9bff; --s4: #e3b341; --s5: #4cc9dc; --s6: #ff8ac4; --s7: #a3adb8; }
}
"""
DRAWN = """
svg text { font: 11px system-ui, sans-serif; fill: var(--ink); } svg .faint { fill: var(--faint); }
svg .strong { font-weight: 600; paint-order: stroke; stroke: var(--paper); stroke-width: 3px; }
.grid { stroke: var(--line); stroke-width: .6; } .zero { stroke: var(--ink); stroke-width: 1; } .interval { stroke: var(--s0); stroke-width: 2; }
.dot { fill: var(--s0); stroke: var(--paper); stroke-width: 1; } .cell { fill: var(--accent); } .empty { fill: none; stroke: var(--line); }
.line { fill: none; stroke-width: 1.8; } .part { fill-opacity: .35; stroke: var(--paper); stroke-width: 1; }
.line.s0 { stroke: var(--s0); } .line.s1 { stroke: var(--s1); stroke-dasharray: 6 3; } .line.s2 { stroke: var(--s2); stroke-dasharray: 2 2; }
.line.s3 { stroke: var(--s3); stroke-dasharray: 8 3 2 3; } .line.s4 { stroke: var(--s4); stroke-dasharray: 12 3; }
.line.s5 { stroke: var(--s5); stroke-dasharray: 4 4; } .line.s6 { stroke: var(--s6); stroke-dasharray: 10 3 2 3 2 3; } .line.s7 { stroke: var(--s7); }
.part.s0 { fill: var(--s0); } .part.s1 { fill: var(--s1); } .part.s2 { fill: var(--s2); } .part.s3 { fill: var(--s3); }
.part.s4 { fill: var(--s4); } .part.s5 { fill: var(--s5); } .part.s6 { fill: var(--s6); } .part.s7 { fill: var(--s7); }
"""
PICTURE = COLOURS + ".paper { fill: var(--paper); }" + DRAWN  # of a file that holds nothing else
CSS = (
    COLOURS
    + """* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 72rem; padding: 1rem; background: var(--paper); color: var(--ink); font: 1rem/1.5 system-ui, sans-serif;
  overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; line-height: 1.25; } h2 { font-size: 1.35rem; border-top: 2px solid var(--line); padding-top: .8rem; margin-top: 2.2rem; }
h3 { font-size: 1.12rem; margin-top: 1.8rem; } h4 { font-size: 1rem; } summary h4 { display: inline; font-weight: 600; } h5 { font-size: .95rem; margin: 0; }
a { color: var(--accent); } nav ul { padding-left: 1.2rem; } code { font-family: ui-monospace, monospace; font-size: .92em; }
.faint, figcaption, .missing { color: var(--faint); } .missing { border-left: 3px solid var(--line); padding-left: .6rem; }
.warned { border-left: 3px solid var(--s1); padding-left: .6rem; }
.scroll { overflow-x: auto; max-width: 100%; } .scroll:focus-visible, summary:focus-visible, a:focus-visible { outline: 2px solid var(--accent); }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; overflow-wrap: normal; }
caption { text-align: left; color: var(--faint); padding: .3rem 0; } th, td { padding: .25rem .6rem; border-bottom: 1px solid var(--line); text-align: right; }
th { font-weight: 600; } td { white-space: nowrap; } thead th { vertical-align: bottom; background: var(--band); }
thead th:first-child { text-align: left; }
tbody th { text-align: left; font-weight: 500; min-width: 7.5rem; max-width: 15rem; }
tbody th[scope=row] { position: sticky; left: 0; background: var(--paper); }
tbody th[colspan] { background: var(--band); color: var(--faint); max-width: none; }
table.plain td { text-align: left; white-space: normal; overflow-wrap: anywhere; min-width: 8rem; }
.pictures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 21rem), 1fr)); gap: 1rem; align-items: start; }
figure { margin: 1rem 0; min-width: 0; } svg { display: block; width: 100%; min-width: 20rem; max-width: 42rem; height: auto; }"""
    + DRAWN
    + """details { border: 1px solid var(--line); border-radius: 6px; margin: .6rem 0; padding: .4rem .7rem; } summary { cursor: pointer; }
.side { display: grid; grid-auto-flow: column; grid-auto-columns: minmax(16rem, 1fr); gap: 1rem; padding: .5rem 0; }
.side section { border: 1px solid var(--line); border-radius: 6px; padding: .6rem; min-width: 0; }
.turn { margin: .45rem 0; unicode-bidi: isolate; } .turn bdi { white-space: normal; } .from-user { background: var(--band); padding: .2rem .4rem; }
.note { margin: .1rem 0; font-size: .85rem; color: var(--faint); }
@media print { details > * { display: block; } }
"""
)
