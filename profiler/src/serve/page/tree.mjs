// The tree of a flame graph: where frames lie, what a search finds, which names have most.
//
// Nodes come in preorder as [depth, name, value, own, value before, own before]. They are kept as columns of numbers, since
// there may be tens of thousands.

/** Columns of the tree, with where each node begins, its caller, and where what is below it ends. */
export function layOut({ names, nodes }) {
  const count = nodes.length;
  const tree = {
    names,
    count,
    depth: new Int32Array(count),
    name: new Int32Array(count),
    value: new Float64Array(count),
    own: new Float64Array(count),
    valueBefore: new Float64Array(count),
    ownBefore: new Float64Array(count),
    start: new Float64Array(count),
    parent: new Int32Array(count),
    end: new Int32Array(count),
    deepest: 0,
  };
  const open = [];
  const next = [0];
  nodes.forEach(([depth, name, value, own, valueBefore, ownBefore], node) => {
    while (open.length > depth) tree.end[open.pop()] = node;
    tree.depth[node] = depth;
    tree.name[node] = name;
    tree.value[node] = value;
    tree.own[node] = own;
    tree.valueBefore[node] = valueBefore;
    tree.ownBefore[node] = ownBefore;
    tree.parent[node] = open.length ? open[open.length - 1] : -1;
    tree.start[node] = next[depth] ?? 0;
    next[depth] = tree.start[node] + value;
    next[depth + 1] = tree.start[node];
    tree.deepest = Math.max(tree.deepest, depth);
    open.push(node);
  });
  while (open.length) tree.end[open.pop()] = count;
  return tree;
}

/** The callers of a node, outermost first, and itself. */
export function pathTo(tree, node) {
  const path = [];
  for (; node >= 0; node = tree.parent[node]) path.unshift(node);
  return path;
}

/** What is to be drawn when `zoom` fills the width: [node, left, width], callers over the whole width; nothing too narrow. */
export function visible(tree, zoom, width, narrowest) {
  if (!tree.count) return [];
  const scale = tree.value[zoom] > 0 ? width / tree.value[zoom] : 0;
  const drawn = pathTo(tree, zoom).map((node) => [node, 0, width]);
  for (let node = zoom + 1; node < tree.end[zoom]; ) {
    const wide = tree.value[node] * scale;
    if (wide < narrowest) {
      // What is below is narrower still.
      node = tree.end[node];
      continue;
    }
    drawn.push([node, (tree.start[node] - tree.start[zoom]) * scale, wide]);
    node++;
  }
  return drawn;
}

/** A test for names: a regular expression if it is one, otherwise as it is written; nothing for nothing. */
export function matcher(text) {
  if (!text) return null;
  try {
    const pattern = new RegExp(text, "i");
    return (name) => pattern.test(name);
  } catch {
    const plain = text.toLowerCase();
    return (name) => name.toLowerCase().includes(plain);
  }
}

/** Which names match, and how much was spent in and below them, each thing once. */
export function search(tree, matches) {
  const hits = tree.names.map(matches);
  let value = 0;
  for (let node = 0; node < tree.count; ) {
    if (hits[tree.name[node]]) {
      value += tree.value[node];
      node = tree.end[node];
    } else {
      node++;
    }
  }
  return { hits, value };
}

/** Names by what was spent in them: own, with what they called (a recursion once), and both before. */
export function byName(tree) {
  const rows = tree.names.map((name, index) => ({ name, index, own: 0, total: 0, ownBefore: 0, totalBefore: 0 }));
  const until = new Int32Array(tree.names.length);
  for (let node = 0; node < tree.count; node++) {
    const row = rows[tree.name[node]];
    row.own += tree.own[node];
    row.ownBefore += tree.ownBefore[node];
    if (node >= until[row.index]) {
      row.total += tree.value[node];
      row.totalBefore += tree.valueBefore[node];
      until[row.index] = tree.end[node];
    }
  }
  // The root is no frame, and what was too small is of many names.
  return rows
    .filter((row) => row.name !== "all" && row.name !== "…" && (row.own > 0 || row.ownBefore > 0 || row.total > 0))
    .sort((one, other) => other.own - one.own || other.total - one.total || (one.name < other.name ? -1 : 1));
}

/** How many points of percent more of all a part has than before. */
export function points(part, whole, partBefore, wholeBefore) {
  return 100 * ((whole ? part / whole : 0) - (wholeBefore ? partBefore / wholeBefore : 0));
}
