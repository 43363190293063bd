// Colours: ColorBrewer's YlGnBu for values and PuOr for differences, both colour-blind safe
// (Harrower and Brewer, The Cartographic Journal 40, 2003); Okabe and Ito's palette for curves (Wong, Nature Methods 8, 2011).
const VALUES = ["#edf8b1", "#c7e9b4", "#7fcdbb", "#41b6c4", "#1d91c0", "#225ea8", "#253494", "#081d58"];
const CHANGES = ["#542788", "#8073ac", "#b2abd2", "#d8daeb", "#eeeeee", "#fee0b6", "#fdb863", "#e08214", "#b35806"];
const CURVES = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000"];
const DASHES = ["", "7 4", "2 3", "10 3 2 3", "4 2", "12 4", "1 2"];
const MISSING = "#c4c9d1", CONTEXT = "#dfe3e9", CASING = "#c9d0da", PICKED = "#d4005a", GROUND = "#f7f8fa", OUTLINE = "#1b2430";

function colour(ramp, share) {
  const x = Math.min(1, Math.max(0, share)) * (ramp.length - 1), i = Math.min(Math.floor(x), ramp.length - 2);
  const part = (text, k) => parseInt(text.slice(1 + 2 * k, 3 + 2 * k), 16);
  return "rgb(" + [0, 1, 2].map(k => Math.round(part(ramp[i], k) + (part(ramp[i + 1], k) - part(ramp[i], k)) * (x - i))) + ")";
}

const pointRadius = set => set.paths.length > 200 ? 3.2 : 5.5;

// The emphasis of an element: by its value, or by its difference in either direction.
const strength = (ramp, share) => ramp === CHANGES ? Math.abs(2 * share - 1) : share;
