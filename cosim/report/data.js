"use strict";
// The sources of shapes and values: blocks in the page, or the server that sent it.

async function inflate(text) {
  const bytes = Uint8Array.from(atob(text), c => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Response(stream).arrayBuffer();
}

// Undo the packing of shapes: steps of decimetres become metres.
function unpackShapes(kind, text) {
  const {labels, paths, names = []} = JSON.parse(text);
  return {kind, labels, shown: labels.map((label, i) => names[i] ? `${names[i]} (${label})` : label), paths: paths.map(steps => {
    const points = [];
    let x = 0, y = 0;
    for (let k = 0; k < steps.length; k += 2) points.push([(x += steps[k]) / 10, (y += steps[k + 1]) / 10]);
    return points;
  })};
}

// Undo the packing of values: codes, each on the scale of its element.
function unpackValues(buffer, nFrames) {
  const count = buffer.byteLength / (8 + nFrames), ends = new DataView(buffer, 0, 8 * count);
  const codes = new Uint8Array(buffer, 8 * count), low = new Float32Array(count), step = new Float32Array(count);
  for (let i = 0; i < count; i++) {
    low[i] = ends.getFloat32(4 * i, true);
    step[i] = (ends.getFloat32(4 * (count + i), true) - low[i]) / 254;
    for (let k = 1; k < nFrames; k++) codes[i * nFrames + k] += codes[i * nFrames + k - 1];
  }
  const at = (i, k) => { const code = codes[i * nFrames + k]; return code === 255 ? NaN : low[i] + code * step[i]; };
  return {
    frame: k => Float32Array.from({length: count}, (_, i) => at(i, k)),
    course: i => Float32Array.from({length: nFrames}, (_, k) => at(i, k)),
    worst: lowest => Float32Array.from({length: count}, (_, i) => {
      let found = NaN;
      for (let k = 0; k < nFrames; k++) { const v = at(i, k); if (Number.isFinite(v) && !(lowest ? v >= found : v <= found)) found = v; }
      return found;
    }),
    mean: (level, within) => Float32Array.from({length: count}, (_, i) => {  // of levels by energy
      let sum = 0, known = 0;
      for (let k = 0; k < nFrames; k++) { const v = at(i, k); if (Number.isFinite(v) && within(k)) { sum += level ? 10 ** (v / 10) : v; known++; } }
      const mean = known ? sum / known : NaN;
      return level ? 10 * Math.log10(mean) : mean;
    }),
  };
}

// Whether a frame begins in the hours of the local day from the first to before the last, over midnight where it is the
// smaller one. A layer with one frame has no hours to choose from.
function withinHours(shown, layer, run, [from, to]) {
  const {every, n} = shown.layers[layer].runs[run], form = new Intl.DateTimeFormat("en-GB", {timeZone: shown.zone, hour: "2-digit", hourCycle: "h23"});
  if (n === 1 || to - from === 24) return () => true;
  const inside = Array.from({length: n}, (_, k) => {
    const hour = +form.format(new Date(1000 * (shown.start + k * every)));
    return from < to ? hour >= from && hour < to : hour >= from || hour < to;
  });
  return k => inside[k];
}

// A source provides the shapes of a layer, and the values of a layer in a case and run.
function embedded(content) {
  const text = k => document.getElementById("block-" + k).textContent, cache = new Map();
  const values = (at, layer, run) => {
    const about = content.cases[at].layers[layer].runs[run];
    if (!cache.has(about.block)) cache.set(about.block, inflate(text(about.block)).then(b => unpackValues(b, about.n)));
    return cache.get(about.block);
  };
  return {
    shapes: async about => unpackShapes(about.kind, new TextDecoder().decode(await inflate(text(about.shapes)))),
    frame: async (at, layer, run, k) => (await values(at, layer, run)).frame(k),
    mean: async (at, layer, run, hours) => (await values(at, layer, run)).mean(content.cases[at].layers[layer].level, withinHours(content.cases[at], layer, run, hours)),
    peak: async (at, layer, run) => (await values(at, layer, run)).worst(content.cases[at].layers[layer].lowest),
    course: async (at, layer, run, element) => ({every: content.cases[at].layers[layer].runs[run].every, values: (await values(at, layer, run)).course(element)}),
    total: async (at, layer, run) => content.cases[at].layers[layer].runs[run],
  };
}

function served(content) {
  const ask = async path => {
    const answer = await fetch(path);
    if (!answer.ok) throw new Error(await answer.text());
    return answer;
  };
  const numbers = async path => new Float32Array(await (await ask(path)).arrayBuffer());
  const curve = async path => (await ask(path)).json();
  const frames = new Map(), totals = new Map();
  const kept = path => {
    if (!frames.has(path)) {
      if (frames.size > 200) frames.delete(frames.keys().next().value);
      frames.set(path, numbers(path));
    }
    return frames.get(path);
  };
  return {
    shapes: async about => unpackShapes(about.kind, await (await ask(`shapes/${about.shapes}`)).text()),
    frame: (at, layer, run, k) => kept(`frame/${at}/${layer}/${run}/${k}`),
    mean: (at, layer, run, [from, to]) => kept(`mean/${at}/${layer}/${run}/${from}/${to}`),
    peak: (at, layer, run) => kept(`peak/${at}/${layer}/${run}`),
    course: (at, layer, run, element) => curve(`course/${at}/${layer}/${run}/${element}`),
    total: (at, layer, run) => {
      const path = `total/${at}/${layer}/${run}`;
      if (!totals.has(path)) totals.set(path, curve(path));
      return totals.get(path);
    },
  };
}
