// The style sheet of a report: wide and narrow screens, light and dark, paper.
#pragma once

namespace basin {

inline constexpr char report_style[] = R"css(
:root { color-scheme: light dark; --ink: #1c2430; --soft: #5b6675; --page: #ffffff; --band: #f2f5f8; --line: #d5dbe3;
  --link: #1a5fb4; --held: #12683a; --held-back: #ddf3e4; --missed: #a01c1c; --missed-back: #fde3e3; --literal: #7a4d00; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e9f0; --soft: #a3aebd; --page: #14181e; --band: #1e242d;
  --line: #38414e; --link: #8ab8f5; --held: #8fe0ae; --held-back: #173a26; --missed: #ffaaa5; --missed-back: #4a1d1d;
  --literal: #f0c36d; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 76rem; padding: 1rem 1.25rem 3rem; background: var(--page); color: var(--ink);
  font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: break-word; }
h1 { margin: .5rem 0; font-size: 2rem; line-height: 1.2; }
h2 { margin: 2.5rem 0 .75rem; padding-bottom: .25rem; border-bottom: 2px solid var(--line); font-size: 1.4rem;
  line-height: 1.25; }
h3 { margin: 2rem 0 .25rem; font-size: 1.15rem; }
p { margin: .5rem 0; max-width: 50rem; }
a { color: var(--link); }
code { font: .875em ui-monospace, "DejaVu Sans Mono", monospace; overflow-wrap: anywhere; }
table { border-collapse: collapse; }
th, td { padding: .4rem .6rem; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; }
thead th { color: var(--soft); font-weight: 600; }
.scroll { overflow-x: auto; }
.counts td, .counts thead th + th { text-align: right; font-variant-numeric: tabular-nums; }
.counts tbody th { font-weight: normal; min-width: 9rem; }
.claims { width: 100%; table-layout: fixed; }
.claims th:nth-child(1) { width: 35%; } .claims th:nth-child(2) { width: 24%; }
.claims th:nth-child(3) { width: 16%; } .claims th:nth-child(4) { width: 11%; } .claims th:nth-child(5) { width: 14%; }
.claims .paper th { padding-top: 1.25rem; font-size: 1.1rem; }
.claims .group th { background: var(--band); } .claims .group span { color: var(--soft); font-weight: normal; }
.remark, .literal { display: block; font-size: .875em; color: var(--soft); }
.literal { color: var(--literal); font-style: italic; }
.held, .missed, .reported { display: inline-block; padding: 0 .5rem; border-radius: .3rem; background: var(--band);
  color: var(--soft); white-space: nowrap; }
.held { background: var(--held-back); color: var(--held); }
.missed { background: var(--missed-back); color: var(--missed); font-weight: 600; }
.note { color: var(--soft); font-size: .9em; }
figure { margin: 1rem 0; } figcaption { color: var(--soft); font-size: .875em; }
img { display: block; max-width: 100%; height: auto; background: #ffffff; border-radius: .25rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .3rem 1rem; margin: .75rem 0; }
dt { color: var(--soft); } dd { margin: 0; min-width: 0; }
dd code { margin-right: .35rem; }
.command { display: inline-block; padding: .1rem .5rem; border-radius: .3rem; background: var(--band); }
.left-out { grid-template-columns: minmax(8rem, 1fr) 2fr; }
.left-out dd { white-space: pre-line; }
@media screen and (max-width: 46rem) {
  body { padding: .5rem .75rem 2rem; } h1 { font-size: 1.6rem; }
  .claims, .claims tbody, .claims tr, .claims th, .claims td { display: block; width: auto !important; }
  .claims thead { display: none; }
  .claims tr { padding: .4rem 0; border-bottom: 1px solid var(--line); }
  .claims th, .claims td { padding: .1rem .4rem; border: 0; }
  .claims .group { padding: 0; } .claims .group th { padding: .4rem; } .claims .group span { display: block; }
  .claims td[data-label] { display: grid; grid-template-columns: 5.5rem 1fr; }
  .claims td[data-label]::before { content: attr(data-label); grid-row: 1 / span 3; color: var(--soft);
    font-size: .875em; }
  .claims td[data-label] > * { grid-column: 2; justify-self: start; }
  .claims td[data-label="claim"] { display: block; font-weight: 600; }
  .claims td[data-label="claim"]::before { content: none; } .claims td[data-label="claim"] span { font-weight: normal; }
  .counts, .counts tbody, .counts th { display: block; } .counts thead { display: none; }
  .counts tr { display: flex; flex-wrap: wrap; gap: 0 1rem; padding: .4rem 0; border-bottom: 1px solid var(--line); }
  .counts th, .counts td { padding: 0; border: 0; } .counts tbody th { flex-basis: 100%; font-weight: 600; }
  .counts td::before { content: attr(data-label) " "; color: var(--soft); font-size: .875em; }
  .wide img { max-width: none; width: 46rem; }
  dl, .left-out { display: block; } dt { margin-top: .5rem; font-size: .875em; }
}
@media print {
  :root { color-scheme: light; --ink: #000000; --soft: #444444; --page: #ffffff; --band: #f2f2f2; --line: #bbbbbb;
    --link: #000000; --held: #000000; --held-back: #ffffff; --missed: #000000; --missed-back: #ffffff; --literal: #000000; }
  body { max-width: none; padding: 0; font-size: 9.5pt; }
  a { text-decoration: none; } .scroll { overflow: visible; }
  thead { display: table-header-group; } tr, figure, dt, dd { break-inside: avoid; }
  p { orphans: 3; widows: 3; } h3 + p a { display: none; }
  h2, h3, h3 + p, .paper, .group { break-after: avoid; }
  .held, .missed, .reported { padding: 0; white-space: normal; background: none; }
  img { max-height: 13cm; width: auto; object-fit: contain; }
}
)css";

}  // namespace basin
