// Curves over time as SVG, one per run, with a cursor at the moment that the map shows.
const SVG = "http://www.w3.org/2000/svg";

function svg(name, attributes = {}, ...children) {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

function figure(value) {
  if (!Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  const text = size >= 1000 ? Math.round(value).toLocaleString("en") : size === 0 ? "0" : size < 0.001 ? value.toExponential(1)
    : String(+value.toPrecision(size >= 100 ? 4 : 3));
  return text.replace("-", "−");
}

// Ticks at round values: steps of 1, 2 or 5 times a power of ten, with as many digits as needed to distinguish them.
function ticks(low, high, count) {
  const rough = (high - low) / count, power = 10 ** Math.floor(Math.log10(rough)), step = [1, 2, 5, 10].map(s => s * power).find(s => s >= rough);
  const found = [];
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  for (let v = Math.ceil(low / step - 1e-9) * step; v <= high + step * 1e-9; v += step) {
    const at = Math.abs(v) < step * 1e-9 ? 0 : v;
    found.push({at, text: step < 1 && digits < 7 ? at.toFixed(digits).replace("-", "−") : figure(at)});
  }
  return found;
}

// series: [{name, every, values, low?, high?}]; value k covers the time until (k + 1) × every.
function curves(host, {title, about, unit, series, length, clock, height = 150, onSeek}) {
  const width = Math.max(260, host.clientWidth || 400), left = 58, right = 12, top = 8, bottom = 22;
  const finite = series.flatMap(s => [...s.values, ...(s.low || []), ...(s.high || [])]).filter(v => v !== null && Number.isFinite(v));
  let low = Math.min(...finite), high = Math.max(...finite);
  if (!finite.length) [low, high] = [0, 1];
  if (low > 0 && low < 0.6 * high) low = 0;
  if (high < 0 && high > 0.6 * low) high = 0;
  const flat = high - low <= 1e-9 * Math.abs(high);
  if (flat) { const half = Math.abs(high) * 0.05 || 1; low -= low === 0 ? 0 : half; high += half; }
  const X = s => left + (width - left - right) * s / length, Y = v => height - bottom - (height - top - bottom) * (v - low) / (high - low);
  const drawing = svg("svg", {viewBox: `0 0 ${width} ${height}`, height, role: "img", "aria-label": `${title}, ${about}`});
  for (const {at, text} of ticks(low, high, 4)) drawing.append(
    svg("line", {x1: left, x2: width - right, y1: Y(at), y2: Y(at), stroke: "#e3e7ed"}),
    svg("text", {x: left - 6, y: Y(at) + 4, "text-anchor": "end"}, text));
  for (const {s, label} of clock.ticks(width < 420 ? 4 : 8)) drawing.append(svg("text", {x: X(s), y: height - 5, "text-anchor": s <= 0 ? "start" : s >= length ? "end" : "middle"}, label));
  const line = (values, every) => {
    let path = "", open = false;
    values.forEach((v, k) => {
      if (v === null || !Number.isFinite(v)) { open = false; return; }
      path += `${open ? "L" : "M"}${X(Math.min(length, (k + 0.5) * every)).toFixed(1)} ${Y(v).toFixed(1)}`; open = true;
    });
    return path;
  };
  series.forEach((s, r) => {
    if (!s.low || series.length > 1) return;
    const n = s.values.length, known = [...Array(n).keys()].filter(k => s.low[k] !== null && Number.isFinite(s.low[k]));
    const corner = (values, k) => `${X(Math.min(length, (k + 0.5) * s.every)).toFixed(1)} ${Y(values[k]).toFixed(1)}`;
    if (known.length) drawing.append(svg("path", {fill: CURVES[r], opacity: 0.14,
      d: "M" + known.map(k => corner(s.high, k)).join("L") + "L" + known.reverse().map(k => corner(s.low, k)).join("L") + "Z"}));
  });
  series.forEach((s, r) => drawing.append(svg("path", {d: line(s.values, s.every), fill: "none", stroke: CURVES[r % 7], "stroke-width": 2,
    "stroke-dasharray": DASHES[r % 7], "stroke-linejoin": "round"})));
  const cursor = svg("line", {y1: top, y2: height - bottom, stroke: PICKED, "stroke-width": 1.5});
  drawing.append(cursor);
  const caption = document.createElement("figcaption"), readings = series.map(() => document.createElement("span"));
  const heading = document.createElement("b");
  heading.textContent = title;
  caption.append(heading, about);
  series.forEach((s, r) => {
    const key = document.createElement("span");
    key.className = "key";
    key.append(svg("svg", {viewBox: "0 0 26 8"}, svg("line", {x1: 0, x2: 26, y1: 4, y2: 4, stroke: CURVES[r % 7], "stroke-width": 2.5, "stroke-dasharray": DASHES[r % 7]})),
      ...(series.length > 1 ? [s.name] : []), readings[r]);
    caption.append(key);
  });
  host.replaceChildren(caption, drawing);
  if (onSeek) {
    const seek = event => {
      const b = drawing.getBoundingClientRect();
      onSeek(length * Math.min(1, Math.max(0, ((event.clientX - b.left) * width / b.width - left) / (width - left - right))));
    };
    drawing.style.touchAction = "pan-y";
    drawing.onpointerdown = event => { drawing.setPointerCapture(event.pointerId); seek(event); };
    drawing.onpointermove = event => { if (event.buttons) seek(event); };
  }
  return {moveTo(s) {
    cursor.setAttribute("x1", X(s)); cursor.setAttribute("x2", X(s));
    series.forEach((one, r) => {
      const v = one.values[Math.min(one.values.length - 1, Math.floor(s / one.every))];
      readings[r].textContent = v === null || v === undefined ? "–" : `${figure(v)} ${unit}`.trim();
    });
  }};
}
