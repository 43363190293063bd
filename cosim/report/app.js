// The behaviour of the page: time slider, choice of case, layer and view, selection of elements.
(() => {
  const $ = id => document.getElementById(id);
  const content = JSON.parse($("content").textContent), source = content.served ? served(content) : embedded(content);
  const state = {case: 0, layer: 0, view: 0, frame: 0, whole: false, hours: [0, 24], picked: -1};
  const sets = new Map();
  // The current case: runs over the same period, with their layers and views.
  let now, layers, names, length, views;
  let map = null, values = null, ends = [0, 1], timer = null, turn = 0, pending = 0, drawn = [], courseChart = null;

  const clock = {
    at: (s, form) => form.format(new Date(1000 * (now.start + s))),
    span(from, to) {
      const day = length > 86400 ? clock.at(from, clock.day) + " " : "";
      return `${day}${clock.at(from, clock.time)}–${clock.at(to, clock.time)}`;
    },
    ticks(count) {
      const step = [60, 300, 600, 900, 1800, 3600, 7200, 10800, 14400, 21600, 43200, 86400, 172800, 604800, 2592000].find(s => length / s <= count) || length / count;
      return Array.from({length: Math.floor(length / step + 1e-9) + 1}, (_, k) => ({s: k * step, label: clock.at(k * step, step >= 86400 ? clock.day : clock.time)}));
    },
  };
  const layer = () => layers[state.layer], view = () => views[state.view], set = () => sets.get(layer().shapes);
  const isChange = () => view().minus !== undefined;
  const unit = () => isChange() && layer().unit.startsWith("%") ? "percentage points" : layer().unit;
  const inMinutes = s => `${+(s / 60).toFixed(1)} min`;
  const frameOf = (run, s) => { const about = layer().runs[run]; return Math.min(about.n - 1, Math.floor((s + 1e-6) / about.every)); };

  function enter(k) {
    state.case = k;
    now = content.cases[k];
    ({layers, names} = now);
    length = now.n * now.every;
    document.body.classList.toggle("still", now.n === 1);
    // A view is a run, or a plan minus the base; for two plans also the second minus the first.
    const pairs = [...names.slice(1).map((_, k) => [k + 1, 0]), ...(names.length === 3 ? [[2, 1]] : [])];
    views = [...names.map((name, run) => ({title: name, run})), ...pairs.map(([run, minus]) => ({title: `${names[run]} − ${names[minus]}`, run, minus}))];
    clock.time = new Intl.DateTimeFormat("en-GB", {timeZone: now.zone, hour: "2-digit", minute: "2-digit"});
    clock.day = new Intl.DateTimeFormat("en-GB", {timeZone: now.zone, weekday: "short", day: "numeric", month: "short"});
    if ($("charts-case")) $("charts-case").textContent = content.cases.length > 1 ? `: ${now.name}` : "";
  }

  // The stage is marked as busy while data is being read.
  async function working(task) {
    pending++;
    $("stage").setAttribute("aria-busy", "true");
    try { return await task; } finally { if (!--pending) $("stage").setAttribute("aria-busy", "false"); }
  }

  function chips(host, name, titles, chosen, choose, isLast = () => false) {
    host.replaceChildren(...titles.map((title, k) => {
      const label = document.createElement("label"), input = document.createElement("input"), text = document.createElement("span");
      Object.assign(input, {type: "radio", name, value: k, checked: k === chosen});
      input.onchange = () => { label.scrollIntoView({block: "nearest", inline: "nearest"}); choose(k); };
      text.textContent = title;
      label.append(input, text);
      label.classList.toggle("still", isLast(k));
      return label;
    }));
    host.scrollLeft = host.children[chosen].offsetLeft - host.offsetLeft; // the chips may be wider than a phone
  }

  async function read(at = state.frame * now.every) {
    const runs = [view().run, ...(isChange() ? [view().minus] : [])];
    if (runs.some(run => !layer().runs[run])) return null;
    const frames = await Promise.all(runs.map(run => state.whole ? source[state.whole](state.case, state.layer, run, state.hours)
      : source.frame(state.case, state.layer, run, frameOf(run, at))));
    return isChange() ? frames[0].map((v, i) => v - frames[1][i]) : frames[0];
  }

  // The ends of the colour scale. Means and peaks over the whole period have their own ends.
  async function scale() {
    if (!isChange() && (!state.whole || layer().fixed)) return layer().scale;
    if (!state.whole) return [-layer().change, layer().change];
    const means = await Promise.all(layer().runs.map((run, r) => run && source[state.whole](state.case, state.layer, r, state.hours)));
    const sorted = values => values.filter(Number.isFinite).sort((a, b) => a - b), at = (all, share) => all[Math.round(share * (all.length - 1))];
    if (isChange()) {
      const sizes = sorted(means.slice(1).flatMap(m => m && means[0] ? [...m].map((v, i) => Math.abs(v - means[0][i])) : []).filter(v => v > 0));
      return sizes.length ? [-at(sizes, 0.95), at(sizes, 0.95)] : [-1, 1];
    }
    const all = sorted(means.flatMap(m => m ? [...m] : []));
    if (!all.length) return [0, 1];
    const low = layer().sum && all[0] > 0 ? 0 : at(all, 0.01), high = at(all, 0.99);
    return [low, high > low ? high : low + 1];
  }

  async function show() {
    const mine = ++turn, [found, scaled] = await working(Promise.all([read(), scale()]));
    if (mine !== turn) return; // superseded by a later choice
    values = found || new Float32Array(set().labels.length).fill(NaN);
    ends = scaled;
    const [low, high] = ends;
    legend();
    // before a run there are no values: all elements alike
    map.paint(layer().shapes, values.map(v => layer().meanings ? 0.6 : (v - low) / (high - low)), isChange() ? CHANGES : VALUES);
    update();
  }

  function update() {
    const s = state.frame * now.every, run = layer().runs[view().run], every = run ? Math.max(run.every, now.every) : now.every;
    const from = Math.floor((s + 1e-6) / every) * every, span = clock.span(from, from + every);
    const peak = `${layer().lowest ? "lowest" : "highest"} mean of ${inMinutes(now.peak)}`;
    const [first, last] = state.hours, daily = last - first === 24 ? "mean of the whole period" : `mean from ${first} to ${last} h`;
    $("moment").textContent = run && run.every >= length ? "whole period" : state.whole === "mean" ? daily : state.whole ? peak : span;
    $("whole").setAttribute("aria-pressed", String(state.whole === "mean"));
    $("peak").setAttribute("aria-pressed", String(state.whole === "peak"));
    $("slider").value = state.frame;
    $("slider").setAttribute("aria-valuetext", span);
    for (const chart of [...drawn, ...(courseChart ? [courseChart] : [])]) chart.moveTo(s + now.every / 2);
    rank();
  }

  const formatted = v => Number.isFinite(v) ? `${isChange() && v > 0 ? "+" : ""}${figure(v)} ${unit()}`.trim() : "no value";

  // The elements with the highest values, or the largest differences, at the current moment.
  function rank() {
    if (layer().meanings) return; // before a run there is nothing to rank
    const lowest = layer().lowest && !isChange();
    const size = i => isChange() ? Math.abs(values[i]) : lowest ? -values[i] : values[i], best = [];
    for (let i = 0; i < values.length; i++) {
      if (!Number.isFinite(values[i]) || (isChange() && values[i] === 0)) continue;
      if (best.length < 10 || size(i) > size(best[best.length - 1])) {
        let at = best.length;
        while (at > 0 && size(best[at - 1]) < size(i)) at--;
        best.splice(at, 0, i);
        if (best.length > 10) best.pop();
      }
    }
    if (state.picked >= 0 && !best.includes(state.picked)) best.unshift(state.picked);
    const low = isChange() ? 0 : lowest ? -ends[1] : ends[0], high = Math.max(lowest ? -ends[0] : ends[1], ...best.map(size).filter(Number.isFinite));
    $("top-title").textContent = !best.length ? "" : (isChange() ? "Largest differences" : lowest ? "Lowest" : "Highest") + (state.whole ? ` of the ${state.whole}s` : " now");
    while ($("top").children.length < best.length) {
      const item = document.createElement("li"), button = document.createElement("button");
      button.type = "button";
      for (const part of ["name", "value", "bar"]) { const span = document.createElement("span"); span.className = part; button.append(span); }
      item.append(button); $("top").append(item);
    }
    while ($("top").children.length > best.length) $("top").lastChild.remove();
    best.forEach((i, k) => {
      const button = $("top").children[k].firstChild, [name, value, bar] = button.children;
      name.textContent = set().shown[i]; name.title = set().shown[i]; value.textContent = formatted(values[i]);
      const share = Math.min(1, Math.max(0.01, (size(i) - low) / (high - low))) || 0.01;
      bar.style.width = `${100 * share}%`;
      bar.style.background = isChange() ? colour(CHANGES, values[i] > 0 ? 0.95 : 0.05) : colour(VALUES, lowest ? 1 - share : Math.max(share, 0.25));
      button.setAttribute("aria-pressed", String(i === state.picked));
      button.onclick = () => pick(i === state.picked ? -1 : i);
    });
  }

  function legend() {
    const ramp = isChange() ? CHANGES : VALUES, pen = $("ramp").getContext("2d");
    for (let k = 0; k < 254; k++) { pen.fillStyle = colour(ramp, k / 253); pen.fillRect(k, 0, 1, 1); }
    const [low, high] = ends, beyond = !layer().fixed || isChange();
    $("shown").textContent = `${layer().title}${isChange() ? ", difference" : ""}${state.whole ? `, ${state.whole}` : ""}${unit() ? ` [${unit()}]` : ""}`;
    $("outlined").textContent = Object.keys(now.outlines).map(title => `┅ ${title}`).join("  ");
    $("scaled").hidden = !layer().runs.some(Boolean);
    $("low").textContent = (beyond && (isChange() || low !== 0) ? "≤ " : "") + figure(low);
    $("middle").textContent = figure((low + high) / 2);
    $("high").textContent = "≥ " + (isChange() ? "+" : "") + figure(high);
  }

  // The picked element, or the whole layer, over time in every run.
  async function course() {
    const asked = () => [state.case, state.layer, state.picked].join(), mine = asked(), picked = state.picked;
    const runs = names.map((name, run) => ({name, run})).filter(({run}) => layer().runs[run]);
    if (!runs.length) { $("course").replaceChildren(); return; }
    const series = await working(Promise.all(runs.map(async ({name, run}) => {
      if (picked >= 0) return {name, ...await source.course(state.case, state.layer, run, picked)};
      const total = await source.total(state.case, state.layer, run);
      return {name, every: total.every, values: total.sum || total.mean, low: total.low, high: total.high};
    })));
    if (mine !== asked()) return;
    courseChart = curves($("course"), {
      title: picked >= 0 ? set().shown[picked] : layer().title,
      about: `${content.cases.length > 1 ? `${now.name}, ` : ""}${picked >= 0 ? layer().title : layer().sum ? "sum of all elements" : series.length > 1 ? "mean of all elements" : "mean, lowest and highest of all elements"} [${layer().unit}]`,
      unit: layer().unit, series: series.map(s => ({...s, values: [...s.values]})), length, clock, height: 170,
      onSeek: s => moveTo(Math.min(now.n - 1, Math.floor(s / now.every))),
    });
    courseChart.moveTo((state.frame + 0.5) * now.every);
  }

  function moveTo(frame) {
    if (frame === state.frame && !state.whole) return;
    Object.assign(state, {frame, whole: false});
    return show();
  }
  async function pick(i) {
    state.picked = i;
    map.mark(set(), i);
    if (layer().meanings) $("found").textContent = i < 0 ? "" : `${set().shown[i]}${layer().meanings[i] && `: ${layer().meanings[i]}`}`;
    rank();
    await course();
  }
  async function choose(change) {
    const label = state.picked >= 0 ? set().labels[state.picked] : null;
    Object.assign(state, change);
    // An element stays picked in a layer that also contains it.
    state.picked = label === null ? -1 : set().labels.indexOf(label);
    map.show(layer().shapes, context());
    map.mark(set(), state.picked);
    await Promise.all([show(), course()]);
  }
  // Show another case, with the same layer, view, moment and element if it has them.
  async function change(k) {
    await working(load(content.cases[k].layers));
    if (!$("cases").querySelectorAll("input")[k].checked) return; // superseded by a later choice
    const before = {layer: layer().title, view: view().title, s: state.frame * now.every, label: state.picked >= 0 ? set().labels[state.picked] : null};
    const found = (all, title) => Math.max(0, all.findIndex(one => one.title === title));
    enter(k);
    Object.assign(state, {layer: found(layers, before.layer), view: found(views, before.view), frame: Math.min(now.n - 1, Math.floor(before.s / now.every + 1e-6))});
    state.picked = before.label === null ? -1 : set().labels.indexOf(before.label);
    controls();
    drawCharts();
    outline();
    await choose({});
  }
  const outline = () => map.outline(Object.values(now.outlines).flat());
  async function load(wanted) {
    for (const about of wanted) {
      if (sets.has(about.shapes)) continue;
      sets.set(about.shapes, await source.shapes(about));
      if (map) map.add(about.shapes, sets.get(about.shapes));
    }
  }
  function controls() {
    if ($("views")) chips($("views"), "view", views.map(v => v.title), state.view, k => choose({view: k}));
    chips($("layers"), "layer", layers.map(l => l.title), state.layer, k => choose({layer: k}), k => layers[k].still);
    $("slider").max = now.n - 1;
  }
  // The first line layer and the first polygon layer stay on the map in grey.
  const context = () => ["polygon", "line"].map(kind => layers.find(l => l.kind === kind)).filter(Boolean).map(l => l.shapes);

  // A place in the frame of the layers, as policies take it.
  function position(x, y) {
    const [x0, y0, latitude] = now.frame, east = x + x0, north = y + y0, perDegree = Math.PI * 6371000 / 180;
    return latitude === null ? `x ${Math.round(east)} m, y ${Math.round(north)} m`
      : `${(north / perDegree).toFixed(5)}° N, ${(east / perDegree / Math.cos(latitude * Math.PI / 180)).toFixed(5)}° E`;
  }

  function nearest(x, y, scale) {
    const {kind, paths} = set(), reach = 12 * scale;
    let best = -1, least = reach * reach;
    paths.forEach((path, i) => {
      if (kind === "polygon" && inside(path, x, y)) { best = i; least = -1; return; }
      const n = kind === "point" ? 1 : path.length - (kind === "line" ? 1 : 0);
      for (let k = 0; k < n; k++) {
        const [a, b] = path[k], [c, d] = path[(k + 1) % path.length], l = (c - a) ** 2 + (d - b) ** 2;
        if (Math.min(a, c) - reach > x || Math.max(a, c) + reach < x) continue;
        const t = l ? Math.max(0, Math.min(1, ((x - a) * (c - a) + (y - b) * (d - b)) / l)) : 0;
        const q = (a + t * (c - a) - x) ** 2 + (b + t * (d - b) - y) ** 2;
        if (q < least) { least = q; best = i; }
      }
    });
    return best;
  }
  function inside(path, x, y) {
    let found = false;
    for (let k = 0, j = path.length - 1; k < path.length; j = k++) {
      const [a, b] = path[k], [c, d] = path[j];
      if ((b > y) !== (d > y) && x < (c - a) * (y - b) / (d - b) + a) found = !found;
    }
    return found;
  }

  function play() {
    if (timer) { clearTimeout(timer); timer = null; }
    else {
      const next = async () => { await moveTo((state.frame + 1) % now.n); if (timer) timer = setTimeout(next, 120); };
      timer = setTimeout(next, 0);
    }
    $("play").textContent = timer ? "❚❚ Pause" : "▶ Play";
    $("play").setAttribute("aria-pressed", String(!!timer));
  }

  function drawCharts() {
    if (!$("charts")) return; // before a run nothing was exchanged
    const shown = now.charts.filter(chart => chart.runs.some(run => run && run.values.length));
    if (!shown.length) { $("charts").textContent = "No exchanged quantity was recorded."; return; }
    const hosts = shown.map(() => document.createElement("figure"));
    $("charts").replaceChildren(...hosts);
    drawn = shown.map((chart, k) => curves(hosts[k], {...chart, about: `${chart.about} [${chart.unit || "1"}]`, length, clock,
      series: chart.runs.map((run, r) => run && {name: names[r], ...run}).filter(Boolean)}));
    drawn.forEach(chart => chart.moveTo((state.frame + 0.5) * now.every));
  }

  async function start() {
    enter(0);
    drawCharts();
    if ($("cases")) chips($("cases"), "case", content.cases.map(c => c.name), 0, change);
    if (!layers.length) { $("stage").textContent = "No map layer was recorded."; return; }
    await load(layers);
    let box = [Infinity, Infinity, -Infinity, -Infinity];
    for (const {paths} of sets.values()) for (const path of paths) for (const [x, y] of path)
      box = [Math.min(box[0], x), Math.min(box[1], y), Math.max(box[2], x), Math.max(box[3], y)];
    const tip = $("tip"), on = {
      click(x, y, scale) { $("at").textContent = position(x, y); return pick(nearest(x, y, scale)); },
      move(x, y, scale, u, v) {
        const i = values ? nearest(x, y, scale) : -1;
        tip.hidden = i < 0;
        $("at").textContent = position(x, y);
        if (i >= 0) { tip.textContent = `${set().shown[i]}${layer().meanings ? `: ${layer().meanings[i]}`.replace(/: $/, "") : `: ${formatted(values[i])}`}`; tip.style.left = `${u}px`; tip.style.top = `${v}px`; }
      },
      leave() { tip.hidden = true; $("at").textContent = ""; },
    };
    map = await (hasWebGL() ? glMap : canvasMap)($("map"), box, on);
    const canvas = $("map").querySelector("canvas");
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", "Map of the selected layer; its highest values are listed beside it");
    sets.forEach((s, k) => map.add(k, s));
    outline();
    $("slider").oninput = event => moveTo(+event.target.value);
    $("play").onclick = play;
    for (const [id, what] of [["whole", "mean"], ["peak", "peak"]])
      $(id).onclick = () => { if (timer) play(); state.whole = state.whole !== what && what; show(); };
    // The hours of the local day over which the mean is taken; the last may be the smaller one, over midnight.
    for (const id of ["from", "to"]) $(id).onchange = () => {
      const hours = [$("from"), $("to")].map(input => Math.round(Math.min(+input.max, Math.max(+input.min, +input.value || 0))));
      [$("from").value, $("to").value] = hours;
      Object.assign(state, {hours, whole: "mean"});
      if (timer) play();
      return show();
    };
    $("stage").classList.toggle("planned", !layers.some(l => l.runs.some(Boolean)));
    document.addEventListener("keydown", event => {
      if (event.key === " " && !["INPUT", "BUTTON", "SUMMARY"].includes(event.target.tagName)) { event.preventDefault(); play(); }
    });
    $("search").onsubmit = event => {
      event.preventDefault();
      const wanted = $("find").value.trim().toLowerCase(), labels = set().labels.map(label => label.toLowerCase()), shown = set().shown.map(text => text.toLowerCase());
      let i = labels.indexOf(wanted);
      if (i < 0 && wanted) i = shown.findIndex(text => text.includes(wanted));
      $("found").textContent = i >= 0 ? "" : `no element of “${layer().title}” matches`;
      if (i >= 0) pick(i);
    };
    // Open on the first layer that shows something, at its busiest moment.
    state.layer = Math.max(0, layers.findIndex(l => !l.still));
    const busy = layer().runs.findIndex(Boolean);
    if (busy >= 0) {
      const first = await source.total(0, state.layer, busy), rows = first.sum || first.high;
      const busiest = rows.reduce((best, v, k) => v !== null && v > (rows[best] ?? -Infinity) ? k : best, 0);
      state.frame = Math.min(now.n - 1, Math.floor((busiest + 0.5) * first.every / now.every));
    }
    // A comparison opens on the change by its first plan over the whole period.
    if (names.length > 1) Object.assign(state, {view: names.length, whole: "mean"});
    controls();
    await choose({});
    let width = innerWidth;
    addEventListener("resize", () => { if (innerWidth !== width) { width = innerWidth; drawCharts(); course(); } });
    await map.settled();
    document.body.dataset.ready = map.kind;
  }
  start().catch(error => {
    $("stage").prepend(`The map cannot be shown: ${error.message}`);
    throw error;
  });
})();
