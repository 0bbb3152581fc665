"""The page's markup and style: one column on a phone, two where there is room, and paper."""

from string import Template

PAGE = Template(
    """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title - tremorscope</title>
<style>
* { box-sizing: border-box; }
body { font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; color: #1d2733;
  margin: 0 auto; max-width: 72rem; padding: 1rem; background: #fff; overflow-wrap: break-word; }
h1 { font-size: 1.5rem; line-height: 1.2; margin: .5rem 0 0; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin: 2.2rem 0 .5rem; border-bottom: 2px solid #d5dbe1; }
h3 { font-size: 1rem; margin: 1.2rem 0 .2rem; }
p { margin: .3rem 0 .6rem; }
ul { padding-left: 1.2rem; margin: .4rem 0; }
figure { margin: 0; }
figcaption, .quiet, .made { color: #5c6773; font-size: .875rem; }
video, img { width: 100%; height: auto; display: block; border-radius: 4px; }
.paper { display: none; }
.overview { max-width: 44rem; }
.pair, .shape { display: grid; gap: 1rem; grid-template-columns: 1fr 1fr; align-items: start; }
table { border-collapse: collapse; margin: .5rem 0 1rem; font-size: .9375rem; }
th, td { border-bottom: 1px solid #e3e7eb; padding: .3rem 1rem .3rem 0; text-align: left;
  vertical-align: top; font-variant-numeric: tabular-nums; }
.settings td { overflow-wrap: anywhere; }
th { color: #5c6773; font-weight: 600; font-size: .875rem; overflow-wrap: normal; }
.warnings { background: #fff6e5; border-left: 4px solid #c75f00; padding: .4rem .9rem; }
.settings table { font-size: .8125rem; }
@media (max-width: 44rem) {
  .overview { max-width: 44rem; }
.pair, .shape { grid-template-columns: 1fr; }
  th, td { padding-right: .6rem; }
  .wide thead { display: none; }
  .wide, .wide tbody, .wide tr, .wide td { display: block; }
  .wide tr { border-bottom: 1px solid #c4ccd4; padding: .35rem 0; }
  .wide td { border: 0; padding: .05rem 0; }
  .wide td:empty { display: none; }
  .wide td::before { content: attr(data-name) ": "; color: #5c6773; }
}
@media print {
  body { font-size: 10pt; padding: 0; max-width: none; }
  video { display: none; }
  .paper { display: block; }
  .shape { grid-template-columns: 1fr; }
  .shape img { width: 60%; }
  table { font-size: 9pt; }
  section, figure, tr, h2, h3 { break-inside: avoid; }
  h2, h3 { break-after: avoid; }
  .settings table { font-size: 8pt; }
}
</style></head><body>
<h1>$title</h1>
<p class="made">$made</p>
$summary
<p class="quiet">± is one standard error: the truth lies within it in about 68 of 100 cases, within two in
95. x is to the right in the picture, y down.</p>
<h2>Warnings</h2>
<div class="warnings">$warnings</div>
<h2>Raw and magnified</h2>
$clip
<h2>Frequencies</h2>
$frequencies
<h2>Regions</h2>
<div class="overview">$overview</div>
$regions
<h2>How the regions move together</h2>
$shapes
<h2>Alerts</h2>
$alerts
<h2>Scale</h2>
<p>Millimetres carry the scale's uncertainty.</p>
$scales
<h2>The video</h2>
$video
<h2>Settings</h2>
<p>What differs from the default is bold. The tables
mqtt, home_assistant, storage and evidence play no part here.</p>
<div class="settings">$settings</div>
</body></html>
"""
)
