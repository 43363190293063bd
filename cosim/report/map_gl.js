// The map drawn by MapLibre GL. Metres are placed around (0°, 0°), where Web Mercator has no distortion.
const DEGREE_M = Math.PI * 6378137 / 180;
const lonLat = ([x, y]) => [x / DEGREE_M, y / DEGREE_M];

// Without a graphics processor the plain canvas is faster; "#gl" at the end of the address overrides this.
function hasWebGL() {
  if (typeof maplibregl === "undefined" || location.hash === "#canvas") return false;
  const canvas = document.createElement("canvas"), gl = canvas.getContext("webgl2") || canvas.getContext("webgl");
  if (!gl || location.hash === "#gl") return !!gl;
  const about = gl.getExtension("WEBGL_debug_renderer_info");
  return !/swiftshader|llvmpipe|software|basic render/i.test(gl.getParameter(about ? about.UNMASKED_RENDERER_WEBGL : gl.RENDERER));
}

function glFeature(kind, path, id) {
  const points = path.map(lonLat);
  const geometry = kind === "point" ? {type: "Point", coordinates: points[0]}
    : kind === "line" ? {type: "LineString", coordinates: points}
    : {type: "Polygon", coordinates: [[...points, points[0]]]};
  return {type: "Feature", id, geometry, properties: {}};
}

// Widths in pixels that grow with the zoom: thin when the whole city is visible.
const growing = (zoom, width) => ["interpolate", ["exponential", 1.5], ["zoom"], zoom, width(1), zoom + 4, width(4)];

async function glMap(host, box, on) {
  const map = new maplibregl.Map({
    container: host, attributionControl: false, dragRotate: false, pitchWithRotate: false, fadeDuration: 0,
    maxZoom: 20, minZoom: 4, renderWorldCopies: false,
    bounds: [lonLat(box.slice(0, 2)), lonLat(box.slice(2))], fitBoundsOptions: {padding: 26},
    style: {version: 8, sources: {}, layers: [{id: "ground", type: "background", paint: {"background-color": GROUND}}]},
  });
  map.touchZoomRotate.disableRotation();
  map.addControl(new maplibregl.NavigationControl({showCompass: false}), "top-right");
  map.addControl(new maplibregl.ScaleControl({maxWidth: 120}), "top-left");
  await new Promise(resolve => map.once("load", resolve));
  const zoom = map.getZoom(), painted = new Map(), kinds = new Map();
  // Colour and width are computed here, so that MapLibre has little to evaluate for each element.
  const own = ["to-color", ["feature-state", "colour"], MISSING], wide = ["coalesce", ["feature-state", "width"], 1.6];
  const widths = {line: [1.6, 2.6], polygon: [0, 0]};
  map.addSource("outlines", {type: "geojson", data: {type: "FeatureCollection", features: []}});
  map.addLayer({id: "outlines", type: "line", source: "outlines", paint: {"line-color": OUTLINE, "line-width": 2, "line-dasharray": [4, 2.5]}});
  map.addSource("picked", {type: "geojson", data: {type: "FeatureCollection", features: []}});
  map.addLayer({id: "picked-line", type: "line", source: "picked", filter: ["!=", ["geometry-type"], "Point"],
    layout: {"line-join": "round", "line-cap": "round"}, paint: {"line-color": PICKED, "line-width": growing(zoom, s => 3 * s)}});
  map.addLayer({id: "picked-point", type: "circle", source: "picked", filter: ["==", ["geometry-type"], "Point"],
    paint: {"circle-color": "rgba(0,0,0,0)", "circle-radius": growing(zoom, s => 6 + 2 * s), "circle-stroke-color": PICKED, "circle-stroke-width": 3}});
  const position = event => [event.lngLat.lng * DEGREE_M, event.lngLat.lat * DEGREE_M];
  const metresPerPixel = () => 40075016.686 / 512 / 2 ** map.getZoom();
  map.on("click", event => on.click(...position(event), metresPerPixel()));
  map.on("mousemove", event => on.move(...position(event), metresPerPixel(), event.point.x, event.point.y));
  map.on("mouseout", () => on.leave());
  const toggle = (id, visible) => map.getLayer(id) && map.setLayoutProperty(id, "visibility", visible ? "visible" : "none");
  return {
    kind: "MapLibre GL",
    add(k, set) {
      map.addSource("s" + k, {type: "geojson", tolerance: 0.1, maxzoom: 16,
        data: {type: "FeatureCollection", features: set.paths.map((path, i) => glFeature(set.kind, path, i))}});
      const layer = (id, type, paint, layout = {}) =>
        map.addLayer({id: id + k, type, source: "s" + k, paint, layout: {visibility: "none", ...layout}}, "outlines");
      const round = {"line-join": "round", "line-cap": "round"};
      if (set.kind === "line") {
        layer("context", "line", {"line-color": CONTEXT, "line-width": growing(zoom, s => 1.5 * s)}, round);
        layer("casing", "line", {"line-color": CASING, "line-width": growing(zoom, s => 3 * s)}, round);
        layer("values", "line", {"line-color": own, "line-width": growing(zoom, s => ["*", s, wide])}, round);
      } else if (set.kind === "polygon") {
        layer("context", "fill", {"fill-color": "#eceff3", "fill-outline-color": CONTEXT});
        layer("values", "fill", {"fill-color": own, "fill-outline-color": "#9aa5b4"});
      } else layer("values", "circle", {"circle-color": own, "circle-stroke-color": "#6b7686", "circle-stroke-width": 0.8,
        "circle-radius": growing(zoom, s => ["*", 0.55 + 0.45 * s, wide])});
      kinds.set(k, set.kind === "point" ? [pointRadius(set), 3.4] : widths[set.kind]);
    },
    show(k, context) {
      for (const source of Object.keys(map.getStyle().sources).filter(id => /^s\d/.test(id))) {
        const j = source.slice(1), shown = j === String(k);
        toggle("context" + j, !shown && context.map(String).includes(j)); toggle("casing" + j, shown); toggle("values" + j, shown);
      }
      for (const id of ["casing" + k, "values" + k]) if (map.getLayer(id)) map.moveLayer(id, "outlines");
    },
    paint(k, shares, ramp) {
      // Only changed elements: setting the state of every element would take most of the time of a slider step.
      if (!painted.has(k)) painted.set(k, []);
      const before = painted.get(k), [least, more] = kinds.get(k);
      for (let i = 0; i < shares.length; i++) {
        const known = Number.isFinite(shares[i]), level = known ? Math.round(63 * Math.min(1, Math.max(0, shares[i]))) : -1;
        const state = ramp === CHANGES ? level + 100 : level;
        if (before[i] === state) continue;
        before[i] = state;
        map.setFeatureState({source: "s" + k, id: i},
          {colour: known ? colour(ramp, level / 63) : MISSING, width: least + (known ? more * strength(ramp, level / 63) : 0)});
      }
    },
    outline(paths) {
      map.getSource("outlines").setData({type: "FeatureCollection", features: paths.map((path, i) => glFeature("polygon", path, i))});
    },
    mark(set, i) {
      map.getSource("picked").setData({type: "FeatureCollection", features: i < 0 ? [] : [glFeature(set.kind, set.paths[i], 0)]});
    },
    settled: () => new Promise(resolve => map.loaded() ? resolve() : map.once("idle", resolve)),
  };
}
