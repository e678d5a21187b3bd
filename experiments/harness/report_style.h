// The style sheet of a report and of a comparison: wide and narrow screens, light and dark, paper.
#pragma once

namespace basin {

inline constexpr char report_style[] = R"css(
:root { color-scheme: light dark; --ink: #1c2430; --soft: #5b6675; --page: #ffffff; --band: #f2f5f8; --line: #d5dbe3;
  --link: #1a5fb4; --held: #12683a; --held-back: #ddf3e4; --missed: #a01c1c; --missed-back: #fde3e3; --literal: #7a4d00;
  --literal-back: #fbeed2; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e9f0; --soft: #a3aebd; --page: #14181e; --band: #1e242d;
  --line: #38414e; --link: #8ab8f5; --held: #8fe0ae; --held-back: #173a26; --missed: #ffaaa5; --missed-back: #4a1d1d;
  --literal: #f0c36d; --literal-back: #41310f; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 76rem; padding: 1rem 1.25rem 3rem; background: var(--page); color: var(--ink);
  font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: break-word; }
h1 { margin: .5rem 0; font-size: 2rem; line-height: 1.2; }
h2 { margin: 2.5rem 0 .75rem; padding-bottom: .25rem; border-bottom: 2px solid var(--line); font-size: 1.4rem;
  line-height: 1.25; }
h3 { margin: 0 0 .25rem; font-size: 1.15rem; }
p { margin: .5rem 0; max-width: 50rem; }
a { color: var(--link); }
code { font: .875em ui-monospace, "DejaVu Sans Mono", monospace; overflow-wrap: anywhere; }
table { width: 100%; table-layout: fixed; border-collapse: collapse; }
th, td { padding: .4rem .6rem; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; }
thead th { color: var(--soft); font-weight: 600; }
.scroll { overflow-x: auto; }
.tiles { display: flex; flex-wrap: wrap; gap: .75rem; max-width: none; }
.tiles span { padding: .6rem 1rem; white-space: normal; } .tiles b { display: block; font-size: 2.2rem; line-height: 1.1; }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(30rem, 1fr)); gap: 1rem;
  align-items: start; }
.card { min-width: 0; padding: .9rem 1rem; border: 1px solid var(--line); border-radius: .5rem; }
.card:has(details[open]) { grid-column: 1 / -1; } .card:has(details[open]) > figure img { max-height: none; }
.card > p { color: var(--soft); font-size: .9em; } .card > figure { margin: .5rem 0; }
.card > figure img { max-height: 24rem; width: auto; margin: 0 auto; } .card > figure figcaption { display: none; }
.uncounted { --held: var(--soft); --held-back: var(--band); --missed: var(--soft); --missed-back: var(--band);
  --literal: var(--soft); --literal-back: var(--band); border-style: dashed; }
.statements { margin: .75rem 0; padding: 0; list-style: none; } .statements li { margin: .6rem 0; }
.statements q { font-style: italic; } .near, .remark { display: block; color: var(--soft);
  font-size: .875em; white-space: pre-line; }
details { margin: .5rem 0; } summary { cursor: pointer; color: var(--link); }
.held, .corrected, .missed, .reported { display: inline-block; padding: 0 .5rem; border-radius: .3rem; background: var(--band);
  color: var(--soft); white-space: nowrap; }
.held { background: var(--held-back); color: var(--held); }
.corrected { background: var(--literal-back); color: var(--literal); }
.missed { background: var(--missed-back); color: var(--missed); font-weight: 600; }
.note { color: var(--soft); font-size: .9em; }
figure { margin: 1rem 0; } figcaption { color: var(--soft); font-size: .875em; }
img { display: block; max-width: 100%; height: auto; background: #ffffff; border-radius: .25rem; }
@media screen and (max-width: 46rem) {
  body { padding: .5rem .75rem 2rem; } h1 { font-size: 1.6rem; }
  table, tbody, tr, th, td { display: block; width: auto !important; }
  thead { display: none; }
  tr { padding: .4rem 0; border-bottom: 1px solid var(--line); }
  th, td { padding: .1rem .4rem; border: 0; }
  td[data-label] { display: grid; grid-template-columns: 5.5rem 1fr; }
  td[data-label]::before { content: attr(data-label); grid-area: 1 / 1 / span 3; color: var(--soft);
    font-size: .875em; }
  td[data-label] > * { grid-column: 2; justify-self: start; }
  td:first-child { display: block; font-weight: 600; }
  .tiles { gap: .4rem; } .tiles span { flex: 1; padding: .4rem .6rem; } .tiles b { font-size: 1.6rem; }
  .cards { display: block; } .card { margin: .75rem 0; padding: .6rem .7rem; }
  td:first-child::before, td[data-label=""]::before { content: none; } td:first-child .remark { font-weight: normal; }
  .wide img, .card > .wide img { max-width: none; max-height: none; width: 46rem; }
}
@media print {
  :root { color-scheme: light; --ink: #000000; --soft: #444444; --page: #ffffff; --band: #f2f2f2; --line: #bbbbbb;
    --link: #000000; --held: #000000; --held-back: #ffffff; --missed: #000000; --missed-back: #ffffff; --literal: #000000;
    --literal-back: #ffffff; }
  body { max-width: none; padding: 0; font-size: 9.5pt; }
  a { text-decoration: none; } .scroll { overflow: visible; }
  thead { display: table-header-group; } tr, figure { break-inside: avoid; }
  p { orphans: 3; widows: 3; } h2, h3, h3 + p, .card > figure { break-after: avoid; }
  .statements li { break-inside: avoid; } details::details-content { content-visibility: visible; height: auto; }
  .held, .corrected, .missed, .reported { padding: 0; white-space: normal; background: none; }
  img { max-height: 13cm; width: auto; object-fit: contain; }
}
)css";

}  // namespace basin
