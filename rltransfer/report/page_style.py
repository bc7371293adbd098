"""The looks of a page: dark ink on white, one column on a phone, two figures abreast on a desk."""

STYLE = """
:root{color-scheme:light;--ink:#1b1f24;--muted:#57606a;--rule:#d8dee4;--soft:#f6f8fa}
*{box-sizing:border-box}
html{scroll-padding-top:.6rem}
body{margin:0 auto;padding:1.2rem 1rem 3rem;max-width:66rem;background:#fff;color:var(--ink);
font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;
overflow-wrap:anywhere}
h1{font-size:1.6rem;line-height:1.25;margin:.2rem 0 1rem}
h2{font-size:1.25rem;line-height:1.3;margin:2.6rem 0 .4rem;padding-top:1.1rem;
border-top:1px solid var(--rule)}
h3{font-size:1rem;line-height:1.35;margin:1.6rem 0 .4rem}
p{margin:.4rem 0;max-width:46rem}
a{color:#0a58a8}
.facts,.legend,figcaption,footer{color:var(--muted);font-size:.86rem}
.legend p{margin:.25rem 0}
.said{font-size:1.12rem;line-height:1.45;border-left:4px solid #6e7781;background:var(--soft);
padding:.7rem 1rem;margin:.8rem 0}
.said p{max-width:none}
.said.up{border-color:#0072b2}.said.down{border-color:#d55e00}
.said p+p{font-size:.95rem}
ul{padding-left:1.2rem;margin:.4rem 0}
.figures{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,24rem),1fr));
gap:1rem 2rem;align-items:start}
figure{margin:.8rem 0 0;min-width:0;max-width:31rem}
figure svg,figure img{display:block;width:100%;height:auto}
figcaption{margin-top:.2rem}
figure b{display:block;color:var(--ink);font-size:.95rem;line-height:1.35;margin-bottom:.2rem}
.keys{display:flex;flex-wrap:wrap;gap:.1rem .9rem;margin:.2rem 0 0;padding:0;list-style:none;
color:var(--ink);font-size:.86rem}
.keys li{display:flex;align-items:center;gap:.35rem}
.keys svg{width:26px;height:14px;flex:none}
.scroll{overflow-x:auto;-webkit-overflow-scrolling:touch}
table{border-collapse:collapse;font-size:.86rem;line-height:1.35;font-variant-numeric:tabular-nums;
overflow-wrap:normal}
th,td{padding:.35rem .6rem;text-align:right;white-space:nowrap;vertical-align:top;
border-bottom:1px solid var(--rule)}
th{font-weight:600;background:var(--soft);vertical-align:bottom}
thead th:not(:first-child){white-space:normal;min-width:4.2rem}
th:first-child,td:first-child{text-align:left;position:sticky;left:0;background:#fff;
white-space:normal;overflow-wrap:anywhere;min-width:8.5rem}
thead th:first-child{background:var(--soft)}
.word{text-align:left}
td b{display:block;font-weight:600}
td i{display:block;font-style:normal;color:var(--muted)}
.helped{color:#00507d;font-weight:600}.hurt{color:#a34700;font-weight:600}
td:not(.helped):not(.hurt)>b{color:var(--muted)}
td.helped,td.hurt{font-weight:400}
.last td{border-top:2px solid var(--rule);font-weight:600}
pre{background:var(--soft);padding:.7rem .9rem;white-space:pre-wrap;overflow-wrap:anywhere;
font-size:.84rem;border-radius:4px;margin:.4rem 0}
dl{margin:.4rem 0;max-width:46rem}
dt{font-weight:600;margin-top:.6rem}
dd{margin:0}
details>summary{cursor:pointer;font-weight:600;padding:.55rem 0}
details.pair{border-top:1px solid var(--rule)}
details.pair>summary{display:list-item}
details.pair>summary span{font-weight:400;color:var(--muted);font-size:.92rem}
details.pair h2{border:0;padding:0;margin:.4rem 0}
details.pair[open]{padding-bottom:1.5rem}
@media (max-width:34rem){body{font-size:15px;padding-top:.8rem}.said{font-size:1.05rem}
th,td{padding:.35rem .45rem}th:first-child,td:first-child{min-width:6.4rem}}
@media print{.scroll{overflow:visible}}
"""
