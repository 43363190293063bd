// The map on a plain canvas, for browsers without WebGL and pages without MapLibre.
async function canvasMap(host, box, on) {
  const canvas = document.createElement("canvas");
  canvas.tabIndex = 0;
  const buttons = document.createElement("div");
  buttons.className = "zoom";
  for (const [text, name, factor] of [["+", "Zoom in", 0.7], ["−", "Zoom out", 1 / 0.7]]) {
    const button = document.createElement("button");
    Object.assign(button, {type: "button", textContent: text, title: name, onclick: () => zoom(size[0] / 2, size[1] / 2, factor)});
    button.setAttribute("aria-label", name);
    buttons.append(button);
  }
  host.replaceChildren(canvas, buttons);
  const sets = new Map(), values = new Map();
  let shown = -1, context = [], picked = null, around = [], view = null, size = [1, 1], due = false;

  const metresPerPixel = () => view[2];
  const pixel = ([x, y]) => [size[0] / 2 + (x - view[0]) / view[2], size[1] / 2 - (y - view[1]) / view[2]];
  const place = (u, v) => [view[0] + (u - size[0] / 2) * view[2], view[1] - (v - size[1] / 2) * view[2]];
  const redraw = () => { if (!due) { due = true; requestAnimationFrame(() => { due = false; draw(); }); } };

  function fit() {
    const ratio = window.devicePixelRatio || 1;
    size = [host.clientWidth || 1, host.clientHeight || 1];
    canvas.width = size[0] * ratio; canvas.height = size[1] * ratio;
    if (!view) view = [(box[0] + box[2]) / 2, (box[1] + box[3]) / 2,
      Math.max((box[2] - box[0]) / Math.max(size[0] - 52, 20), (box[3] - box[1]) / Math.max(size[1] - 52, 20), 1e-3)];
    redraw();
  }
  function trace(pen, path, closed) {
    pen.beginPath();
    path.forEach((point, k) => pen[k ? "lineTo" : "moveTo"](...pixel(point)));
    if (closed) pen.closePath();
  }
  function draw() {
    const ratio = window.devicePixelRatio || 1, pen = canvas.getContext("2d");
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.fillStyle = GROUND; pen.fillRect(0, 0, ...size);
    pen.lineJoin = pen.lineCap = "round";
    for (const k of context) {
      const set = sets.get(k);
      pen.strokeStyle = CONTEXT; pen.fillStyle = "#eceff3"; pen.lineWidth = set.kind === "line" ? 2 : 1;
      for (const path of set.paths) { trace(pen, path, set.kind === "polygon"); if (set.kind === "polygon") pen.fill(); pen.stroke(); }
    }
    const set = sets.get(shown), now = values.get(shown);
    if (set && now) {
      if (set.kind === "line") { pen.strokeStyle = CASING; pen.lineWidth = 3; for (const path of set.paths) { trace(pen, path); pen.stroke(); } }
      // The strongest last, so that they are on top.
      for (const i of now.order) {
        pen.strokeStyle = pen.fillStyle = now.colours[i];
        const path = set.paths[i];
        if (set.kind === "line") { pen.lineWidth = 1.6 + 2.6 * now.strengths[i]; trace(pen, path); pen.stroke(); }
        else if (set.kind === "polygon") { trace(pen, path, true); pen.fill(); pen.strokeStyle = "#9aa5b4"; pen.lineWidth = 0.6; pen.stroke(); }
        else { const [u, v] = pixel(path[0]); pen.beginPath(); pen.arc(u, v, pointRadius(set) + 3.4 * now.strengths[i], 0, 7); pen.fill(); pen.strokeStyle = "#6b7686"; pen.lineWidth = 0.8; pen.stroke(); }
      }
    }
    pen.setLineDash([8, 5]); pen.strokeStyle = OUTLINE; pen.lineWidth = 2;
    for (const path of around) { trace(pen, path, true); pen.stroke(); }
    pen.setLineDash([]);
    scaleBar(pen);
    if (picked) {
      pen.strokeStyle = PICKED; pen.lineWidth = 3;
      if (picked.kind === "point") { const [u, v] = pixel(picked.path[0]); pen.beginPath(); pen.arc(u, v, 9, 0, 7); } else trace(pen, picked.path, picked.kind === "polygon");
      pen.stroke();
    }
  }

  function scaleBar(pen) {
    const power = 10 ** Math.floor(Math.log10(120 * view[2])), metres = [5, 2, 1].find(s => s * power <= 120 * view[2]) * power;
    const width = metres / view[2];
    pen.fillStyle = "rgba(255, 255, 255, .8)"; pen.fillRect(10, 10, width, 20);
    pen.strokeStyle = "#333"; pen.lineWidth = 2;
    pen.beginPath(); pen.moveTo(10, 10); pen.lineTo(10, 30); pen.lineTo(10 + width, 30); pen.lineTo(10 + width, 10); pen.stroke();
    pen.fillStyle = "#333"; pen.font = "10px system-ui, sans-serif"; pen.fillText(metres >= 1000 ? `${metres / 1000} km` : `${metres} m`, 15, 23);
  }

  const touches = new Map();
  let moved = 0;
  const at = event => { const b = canvas.getBoundingClientRect(); return [event.clientX - b.left, event.clientY - b.top]; };
  function zoom(u, v, factor) {
    const [x, y] = place(u, v);
    view[2] *= factor;
    const [x2, y2] = place(u, v);
    view[0] += x - x2; view[1] += y - y2; redraw();
  }
  canvas.onpointerdown = event => { canvas.setPointerCapture(event.pointerId); touches.set(event.pointerId, at(event)); moved = 0; };
  canvas.onpointermove = event => {
    const [u, v] = at(event), before = touches.get(event.pointerId);
    if (!before) return on.move(...place(u, v), metresPerPixel(), u, v);
    moved += Math.abs(u - before[0]) + Math.abs(v - before[1]);
    if (touches.size === 1) { view[0] -= (u - before[0]) * view[2]; view[1] += (v - before[1]) * view[2]; redraw(); }
    else {
      const [other] = [...touches].filter(([id]) => id !== event.pointerId).map(([, point]) => point);
      const span = (a, b) => Math.hypot(a[0] - b[0], a[1] - b[1]) || 1;
      zoom((u + other[0]) / 2, (v + other[1]) / 2, span(before, other) / span([u, v], other));
    }
    touches.set(event.pointerId, [u, v]);
  };
  canvas.onpointerup = event => {
    touches.delete(event.pointerId);
    if (moved < 5) on.click(...place(...at(event)), metresPerPixel());
  };
  canvas.onpointercancel = event => touches.delete(event.pointerId);
  canvas.onpointerleave = () => on.leave();
  canvas.addEventListener("wheel", event => { event.preventDefault(); zoom(...at(event), 1.0015 ** event.deltaY); }, {passive: false});
  canvas.onkeydown = event => {
    const step = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1]}[event.key];
    if (step) { view[0] += step[0] * 60 * view[2]; view[1] += step[1] * 60 * view[2]; redraw(); event.preventDefault(); }
    else if (event.key === "+" || event.key === "-") zoom(size[0] / 2, size[1] / 2, event.key === "+" ? 0.7 : 1.4);
  };
  new ResizeObserver(fit).observe(host);
  fit();
  return {
    kind: "canvas",
    add: (k, set) => sets.set(k, set),
    show(k, others) { shown = k; context = others.filter(j => j !== k); redraw(); },
    paint(k, shares, ramp) {
      const known = [...shares].map(s => Number.isFinite(s) ? Math.min(1, Math.max(0, s)) : -1);
      const strengths = known.map(s => s < 0 ? 0 : strength(ramp, s));
      values.set(k, {strengths, colours: known.map(s => s < 0 ? MISSING : colour(ramp, s)),
        order: strengths.map((_, i) => i).sort((a, b) => strengths[a] - strengths[b])});
      redraw();
    },
    outline(paths) { around = paths; redraw(); },
    mark(set, i) { picked = i < 0 ? null : {kind: set.kind, path: set.paths[i]}; redraw(); },
    settled: () => new Promise(resolve => requestAnimationFrame(() => requestAnimationFrame(resolve))),
  };
}
