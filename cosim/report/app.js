// What happens when a reader moves the slider, chooses a layer or a view, or picks an element?
(() => {
  const $ = id => document.getElementById(id);
  const content = JSON.parse($("content").textContent), source = content.served ? served(content) : embedded(content);
  const layers = content.layers, names = content.names, length = content.n * content.every;
  // A view is a run, or a plan minus the base.
  const views = [...names.map((name, run) => ({title: name, run})), ...names.slice(1).map((name, k) => ({title: `${name} − ${names[0]}`, run: k + 1, minus: 0}))];
  const state = {layer: 0, view: 0, frame: 0, picked: -1};
  const sets = [];
  let map = null, values = null, timer = null, turn = 0, drawn = [], courseChart = null;

  const clock = {
    time: new Intl.DateTimeFormat("en-GB", {timeZone: content.zone, hour: "2-digit", minute: "2-digit"}),
    day: new Intl.DateTimeFormat("en-GB", {timeZone: content.zone, weekday: "short", day: "numeric", month: "short"}),
    at: (s, form) => form.format(new Date(1000 * (content.start + s))),
    span(from, to) {
      const day = length > 86400 ? clock.at(from, clock.day) + " " : "";
      return `${day}${clock.at(from, clock.time)}–${clock.at(to, clock.time)}`;
    },
    ticks(count) {
      const step = [60, 300, 600, 900, 1800, 3600, 7200, 10800, 14400, 21600, 43200, 86400, 172800, 604800, 2592000].find(s => length / s <= count) || length / count;
      return Array.from({length: Math.floor(length / step + 1e-9) + 1}, (_, k) => ({s: k * step, label: clock.at(k * step, step >= 86400 ? clock.day : clock.time)}));
    },
  };
  const layer = () => layers[state.layer], view = () => views[state.view], set = () => sets[layer().shapes];
  const isChange = () => view().minus !== undefined;
  const frameOf = (run, s) => { const about = layer().runs[run]; return Math.min(about.n - 1, Math.floor((s + 1e-6) / about.every)); };

  function chips(host, name, titles, available, choose) {
    host.replaceChildren(...titles.map((title, k) => {
      const label = document.createElement("label"), input = document.createElement("input"), text = document.createElement("span");
      Object.assign(input, {type: "radio", name, value: k, checked: k === 0, disabled: !available(k)});
      input.onchange = () => { label.scrollIntoView({block: "nearest", inline: "nearest"}); choose(k); };
      text.textContent = title;
      label.append(input, text);
      return label;
    }));
  }

  async function read(at = state.frame * content.every) {
    const runs = [view().run, ...(isChange() ? [0] : [])];
    if (runs.some(run => !layer().runs[run])) return null;
    const frames = await Promise.all(runs.map(run => source.frame(state.layer, run, frameOf(run, at))));
    return isChange() ? frames[0].map((v, i) => v - frames[1][i]) : frames[0];
  }

  async function show() {
    const mine = ++turn, found = await read();
    if (mine !== turn) return; // the reader has moved on
    values = found || new Float32Array(set().labels.length).fill(NaN);
    const [low, high] = isChange() ? [-layer().change, layer().change] : layer().scale;
    map.paint(layer().shapes, values.map(v => (v - low) / (high - low)), isChange() ? CHANGES : VALUES);
    tell();
  }

  function tell() {
    const s = state.frame * content.every, run = layer().runs[view().run], every = run ? Math.max(run.every, content.every) : content.every;
    const from = Math.floor((s + 1e-6) / every) * every, span = clock.span(from, from + every);
    $("moment").textContent = span;
    $("slider").value = state.frame;
    $("slider").setAttribute("aria-valuetext", span);
    for (const chart of [...drawn, ...(courseChart ? [courseChart] : [])]) chart.moveTo(s + content.every / 2);
    rank();
  }

  const worded = v => Number.isFinite(v) ? `${isChange() && v > 0 ? "+" : ""}${figure(v)} ${layer().unit}`.trim() : "no value";

  // The elements with the highest values, or the largest differences, at the moment.
  function rank() {
    const size = i => isChange() ? Math.abs(values[i]) : values[i], best = [];
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
    const [low, end] = isChange() ? [0, layer().change] : layer().scale, high = Math.max(end, ...best.map(size).filter(Number.isFinite));
    $("top-title").textContent = isChange() ? "Largest differences now" : "Highest now";
    while ($("top").children.length < best.length) {
      const item = document.createElement("li"), button = document.createElement("button");
      button.type = "button";
      for (const part of ["name", "value", "bar"]) { const span = document.createElement("span"); span.className = part; button.append(span); }
      item.append(button); $("top").append(item);
    }
    while ($("top").children.length > best.length) $("top").lastChild.remove();
    best.forEach((i, k) => {
      const button = $("top").children[k].firstChild, [name, value, bar] = button.children;
      name.textContent = set().labels[i]; name.title = set().labels[i]; value.textContent = worded(values[i]);
      const share = Math.min(1, Math.max(0.01, (size(i) - low) / (high - low))) || 0.01;
      bar.style.width = `${100 * share}%`;
      bar.style.background = isChange() ? colour(CHANGES, values[i] > 0 ? 0.95 : 0.05) : colour(VALUES, Math.max(share, 0.25));
      button.setAttribute("aria-pressed", String(i === state.picked));
      button.onclick = () => pick(i === state.picked ? -1 : i);
    });
  }

  function legend() {
    const ramp = isChange() ? CHANGES : VALUES, pen = $("ramp").getContext("2d");
    for (let k = 0; k < 254; k++) { pen.fillStyle = colour(ramp, k / 253); pen.fillRect(k, 0, 1, 1); }
    const [low, high] = isChange() ? [-layer().change, layer().change] : layer().scale, beyond = !layer().fixed || isChange();
    $("shown").textContent = `${layer().title}${isChange() ? ", difference" : ""} [${layer().unit}]`;
    $("low").textContent = (beyond && (isChange() || low !== 0) ? "≤ " : "") + figure(low);
    $("middle").textContent = figure((low + high) / 2);
    $("high").textContent = "≥ " + (isChange() ? "+" : "") + figure(high);
  }

  // The course of the picked element, or of the whole layer, in every run.
  async function course() {
    const mine = [state.layer, state.picked].join(), picked = state.picked;
    const runs = names.map((name, run) => ({name, run})).filter(({run}) => layer().runs[run]);
    const series = await Promise.all(runs.map(async ({name, run}) => {
      if (picked >= 0) return {name, ...await source.course(state.layer, run, picked)};
      const total = await source.total(state.layer, run);
      return {name, every: total.every, values: total.sum || total.mean, low: total.low, high: total.high};
    }));
    if (mine !== [state.layer, state.picked].join()) return;
    courseChart = curves($("course"), {
      title: picked >= 0 ? set().labels[picked] : layer().title,
      about: `${picked >= 0 ? layer().title : layer().sum ? "sum of all elements" : series.length > 1 ? "mean of all elements" : "mean, lowest and highest of all elements"} [${layer().unit}]`,
      unit: layer().unit, series: series.map(s => ({...s, values: [...s.values]})), length, clock, height: 170,
      onSeek: s => moveTo(Math.min(content.n - 1, Math.floor(s / content.every))),
    });
    courseChart.moveTo((state.frame + 0.5) * content.every);
  }

  function moveTo(frame) {
    if (frame === state.frame) return;
    state.frame = frame;
    return show();
  }
  async function pick(i) {
    state.picked = i;
    map.mark(set(), i);
    rank();
    await course();
  }
  async function choose(change) {
    const label = state.picked >= 0 ? set().labels[state.picked] : null;
    Object.assign(state, change);
    // An element stays picked in a layer that has it too.
    state.picked = label === null ? -1 : set().labels.indexOf(label);
    map.show(layer().shapes, context());
    map.mark(set(), state.picked);
    legend();
    await Promise.all([show(), course()]);
  }
  // The first streets and the first buildings stay on the map in grey.
  const context = () => ["polygon", "line"].map(kind => sets.findIndex(s => s.kind === kind)).filter(k => k >= 0);

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
      const next = async () => { await moveTo((state.frame + 1) % content.n); if (timer) timer = setTimeout(next, 120); };
      timer = setTimeout(next, 0);
    }
    $("play").textContent = timer ? "❚❚ Pause" : "▶ Play";
    $("play").setAttribute("aria-pressed", String(!!timer));
  }

  function drawCharts() {
    const shown = content.charts.filter(chart => chart.runs.some(run => run && run.values.length));
    if (!shown.length) { $("charts").textContent = "Nothing that is handed on was recorded."; return; }
    const hosts = shown.map(() => document.createElement("figure"));
    $("charts").replaceChildren(...hosts);
    drawn = shown.map((chart, k) => curves(hosts[k], {...chart, about: `${chart.about} [${chart.unit || "1"}]`, length, clock,
      series: chart.runs.map((run, r) => run && {name: names[r], ...run}).filter(Boolean)}));
    drawn.forEach(chart => chart.moveTo((state.frame + 0.5) * content.every));
  }

  async function start() {
    drawCharts();
    if (!layers.length) { $("stage").textContent = "Nothing that can be drawn on a map was recorded."; return; }
    sets.push(...await Promise.all(content.shapes.map((_, k) => source.shapes(k))));
    let box = [Infinity, Infinity, -Infinity, -Infinity];
    for (const {paths} of sets) for (const path of paths) for (const [x, y] of path)
      box = [Math.min(box[0], x), Math.min(box[1], y), Math.max(box[2], x), Math.max(box[3], y)];
    const tip = $("tip"), on = {
      click: (x, y, scale) => pick(nearest(x, y, scale)),
      move(x, y, scale, u, v) {
        const i = values ? nearest(x, y, scale) : -1;
        tip.hidden = i < 0;
        if (i >= 0) { tip.textContent = `${set().labels[i]}: ${worded(values[i])}`; tip.style.left = `${u}px`; tip.style.top = `${v}px`; }
      },
      leave() { tip.hidden = true; },
    };
    map = await (hasWebGL() ? glMap : canvasMap)($("map"), box, on);
    const canvas = $("map").querySelector("canvas");
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", "Map of the chosen layer; its highest values are listed beside it");
    sets.forEach((s, k) => map.add(k, s));
    if (views.length > 1) chips($("views"), "view", views.map(v => v.title), () => true, k => choose({view: k}));
    chips($("layers"), "layer", layers.map(l => l.title), () => true, k => choose({layer: k}));
    $("slider").max = content.n - 1;
    $("slider").oninput = event => moveTo(+event.target.value);
    $("play").onclick = play;
    document.addEventListener("keydown", event => {
      if (event.key === " " && !["INPUT", "BUTTON", "SUMMARY"].includes(event.target.tagName)) { event.preventDefault(); play(); }
    });
    $("search").onsubmit = event => {
      event.preventDefault();
      const wanted = $("find").value.trim().toLowerCase(), labels = set().labels.map(label => label.toLowerCase());
      let i = labels.indexOf(wanted);
      if (i < 0 && wanted) i = labels.findIndex(label => label.includes(wanted));
      $("found").textContent = i >= 0 ? "" : `no element of “${layer().title}” is called so`;
      if (i >= 0) pick(i);
    };
    // Open on the busiest moment of the first layer.
    const first = await source.total(0, layer().runs.findIndex(Boolean)), rows = first.sum || first.high;
    const busiest = rows.reduce((best, v, k) => v !== null && v > (rows[best] ?? -Infinity) ? k : best, 0);
    state.frame = Math.min(content.n - 1, Math.floor((busiest + 0.5) * first.every / content.every));
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
