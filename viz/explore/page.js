// The explorer: one state (run, step), drawn anew after each key or click. Texts are only ever set
// as text, so nothing in the data can become markup.
'use strict';
const data = JSON.parse(document.getElementById('run').textContent);
const state = {run: 0, step: 0, predict: false, theme: 'auto', solved: new Set()};
const $ = (id) => document.getElementById(id);
const run = () => data.runs[state.run];
const step = () => run().steps[state.step];
const runIndex = (tp, sp) => data.runs.findIndex((r) => r.tp === tp && r.sp === sp);

// make('td', {class: 'x', text: 'y'}, child, ...)
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === 'text') element.textContent = value;
    else if (value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

const words = (name) => name.replaceAll('_', '-');
const opText = (s) => words(s.op) + (s.largest ? ' of the largest' : '');
const shapeText = (shape) => '[' + shape.join(', ') + ']';
const bytes = (n) => n.toLocaleString('en') + (n === 1 ? ' byte' : ' bytes');
const plural = (n, word) => n + ' ' + word + (n === 1 ? '' : 's');
const minus = (text) => text.replaceAll('-', '−');

// --- Numbers.

const values = (holding, rank) => data.arrays[holding.ranks[rank]];

// Index in the whole tensor of a rank's part.
function globalIndex(holding, rank, index) {
  const tp = run().tp, global = index.slice(), last = index.length - 1;
  if (holding.part === 'positions') global[1] += rank * holding.shape[1];
  if (holding.part === 'features') {
    const width = holding.shape[last] / holding.fused;
    const block = Math.floor(index[last] / width);
    global[last] = (block * tp + rank) * width + index[last] % width;
  }
  return global;
}

// The largest number of a step, in size, before and after.
function mostOf(s) {
  let most = 0;
  for (const holding of [s.before, s.after]) {
    if (!holding) continue;
    for (let r = 0; r < run().tp; ++r)
      for (const v of values(holding, r)) most = Math.max(most, Math.abs(v));
  }
  return most;
}
// The power of ten, a multiple of three, in whose units a step's cells are shown: the largest is
// then from 1 to 1000.
function unitOf(s) {
  const most = mostOf(s);
  return most === 0 ? 0 : 3 * Math.floor(Math.log10(most) / 3);
}
function unitText(unit) {
  const raised = String(unit).replace('-', '⁻').replace(/\d/g, (d) => '⁰¹²³⁴⁵⁶⁷⁸⁹'[d]);
  return unit === 0 ? '' : 'in units of 10' + raised;
}
function inUnits(value, unit) {
  const scaled = value / 10 ** unit, size = Math.abs(scaled);
  if (value === 0) return '0';
  return size < 0.005 ? '≈0' : minus(scaled.toFixed(size < 10 ? 2 : size < 100 ? 1 : 0));
}

// Rows of a rank's part: each its name and the flat indices of its cells.
function rowsOf(holding, s) {
  const shape = holding.shape, width = shape[shape.length - 1];
  if (shape.length === 1 && s.site === 'small gradients')
    return data.small.map((p) => ({name: p.name, first: p.first, count: p.count}));
  const rows = [];
  const count = shape.reduce((a, b) => a * b, 1) / width;
  for (let i = 0; i < count; ++i) rows.push({first: i * width, count: width});
  return rows;
}
function unflatten(shape, flat) {
  const index = [];
  for (let d = shape.length - 1; d >= 0; --d) {
    index.unshift(flat % shape[d]);
    flat = Math.floor(flat / shape[d]);
  }
  return index;
}

// Where a number lies in the whole tensor: "[0, 3, 5]", or in which of several parameters.
function placeOf(holding, s, rank, flat) {
  const part = rowsOf(holding, s)
    .find((row) => row.name && flat >= row.first && flat < row.first + row.count);
  if (part) return `${part.name.replace('transformer.', '')}[${flat - part.first}]`;
  return shapeText(globalIndex(holding, rank, unflatten(holding.shape, flat)));
}

function cell(holding, s, rank, flat, when, unit, most, hide) {
  const value = values(holding, rank)[flat];
  const at = `${shapeText(unflatten(holding.shape, flat))} here, ` +
    `${placeOf(holding, s, rank, flat)} in the whole`;
  const shown = hide ? 'to be predicted' : minus(String(value));
  const label = `rank ${rank}${when ? ', ' + when : ''}, ${at}, ${holding.placement}: ${shown}`;
  const td = make('td', {
    role: 'gridcell', tabindex: -1, 'aria-label': label, text: hide ? '?' : inUnits(value, unit),
    'data-value': hide ? undefined : value, 'data-flat': flat,
  });
  if (!hide && value !== 0) {
    const alpha = (0.06 + 0.56 * Math.abs(value) / most).toFixed(3);
    td.style.backgroundColor = `rgba(var(--${value > 0 ? 'plus' : 'minus'}), ${alpha})`;
  }
  return td;
}

function grid(holding, s, rank, when, unit, most, hide) {
  const rows = rowsOf(holding, s), dims = holding.shape.length;
  const label = `rank ${rank}${when ? ' ' + when : ''}`;
  const table = make('table', {role: 'grid', 'aria-label': label});
  if (!rows[0].name) {
    const head = make('tr', {}, make('th', {text: dims === 3 ? 't \\ c' : ''}));
    for (let i = 0; i < rows[0].count; ++i) {
      const index = globalIndex(holding, rank, unflatten(holding.shape, i));
      head.append(make('th', {scope: 'col', text: (dims === 2 ? 't ' : '') + index[dims - 1]}));
    }
    table.append(make('thead', {}, head));
  }
  const body = make('tbody');
  for (const row of rows) {
    const index = globalIndex(holding, rank, unflatten(holding.shape, row.first));
    const name = row.name ? row.name.replace('transformer.', '') : dims === 3 ? index[1] : '';
    const tr = make('tr', {role: 'row'}, make('th', {scope: 'row', text: name}));
    for (let i = 0; i < row.count; ++i)
      tr.append(cell(holding, s, rank, row.first + i, when, unit, most, hide));
    body.append(tr);
  }
  table.append(body);
  const first = table.querySelector('td');
  if (first) first.tabIndex = 0;
  return make('div', {class: 'scroll'}, table);
}

function side(holding, s, when, hide) {
  const unit = unitOf(s), most = mostOf(s) || 1;
  const chip = make('span', {class: 'chip', text: holding.placement});
  chip.style.backgroundColor = data.colours.placements[holding.placement] || '#eeeeee';
  const heading = when ? when[0].toUpperCase() + when.slice(1) : 'Each rank holds';
  const title = make('h3', {}, heading, chip, make('span', {class: 'unit', text: unitText(unit)}));
  const ranks = make('div', {class: 'ranks'});
  const element = make('div', {class: 'side', 'data-side': when || 'tensor'}, title, ranks);
  const rows = rowsOf(holding, s), shown = rows.reduce((sum, row) => sum + row.count, 0);
  const hidden = holding.shape.reduce((a, b) => a * b, 1) - shown;
  const padding = hidden === 0 ? '' : `, ${hidden} of them padding`;
  for (let r = 0; r < run().tp; ++r) {
    const attributes = {class: 'rank', 'data-rank': r, role: 'group', 'aria-label': 'rank ' + r};
    const box = make('div', attributes,
                     make('h4', {text: `rank ${r}: ${shapeText(holding.shape)}${padding}`}),
                     grid(holding, s, r, when, unit, most, hide));
    box.style.borderColor = data.colours.ranks[r];
    ranks.append(box);
  }
  return element;
}

// --- What is drawn.

const solveKey = () => state.run + '/' + state.step;
const hidesAfter = () => state.predict && step().op && !state.solved.has(solveKey());

function stepName(s) {
  return s.op ? `${s.site}: ${opText(s)}` : s.site;
}

// Sync points and bytes of each rank, up to and with the current step.
function soFar() {
  const totals = run().totals.map(() => ({sync_points: 0, bytes: 0}));
  for (const s of run().steps.slice(0, state.step + 1)) {
    if (!s.op) continue;
    totals.forEach((t, r) => {
      ++t.sync_points;
      t.bytes += s.wire[r];
    });
  }
  return totals;
}

function drawCounters() {
  const now = soFar(), all = run().totals;
  const counters = $('counters');
  counters.replaceChildren(make('span', {id: 'sync', 'data-count': now[0].sync_points},
    'Sync points: ', make('b', {text: now[0].sync_points}), ` of ${all[0].sync_points}`));
  now.forEach((t, r) => counters.append(make('span', {'data-bytes': t.bytes, 'data-rank': r},
    `rank ${r} sent `, make('b', {text: t.bytes.toLocaleString('en')}),
    ` of ${bytes(all[r].bytes)}`)));
}

function codeBlock(excerpt, line) {
  const label = `${excerpt.file} from line ${excerpt.first}`;
  const pre = make('pre', {tabindex: 0, 'aria-label': label});
  excerpt.lines.forEach((text, i) => {
    const row = make('span', i === line ? {class: 'line-here', 'aria-current': 'true'} : {},
      make('span', {class: 'number', text: excerpt.first + i}), text || ' ');
    pre.append(row);
  });
  return pre;
}

function drawCode(s) {
  const excerpt = data.excerpts[s.code];
  const box = $('code');
  box.replaceChildren(
    make('p', {class: 'file', text: `${excerpt.file}, line ${excerpt.first + s.line}`}),
    codeBlock(excerpt, s.line));
  if (s.stream === undefined) return;
  const stream = data.excerpts[s.stream];
  const text = `${stream.file}, line ${stream.first}: what S:: is ` +
    (run().sp ? 'with sequence parallelism' : 'without sequence parallelism');
  box.append(make('p', {class: 'file', text}), codeBlock(stream, -1));
}

function drawValues(s) {
  const sides = make('div', {class: 'sides'});
  if (s.before) sides.append(side(s.before, s, 'before', false));
  sides.append(side(s.after, s, s.op ? 'after' : '', hidesAfter()));
  $('values').replaceChildren(sides);
}

function drawDiagram() {
  const box = $('diagrams');
  for (const figure of box.children) figure.hidden = figure.dataset.run !== String(state.run);
  for (const old of box.querySelectorAll('.here')) old.classList.remove('here');
  const node = document.getElementById(`run-${state.run}-step-${state.step}`);
  if (!node) return;
  node.classList.add('here');
  const at = node.getBoundingClientRect(), frame = box.getBoundingClientRect();
  box.scrollTop += at.top + at.height / 2 - frame.top - frame.height / 2;
}

function drawList() {
  const list = $('steps');
  if (list.dataset.run !== String(state.run)) {
    list.dataset.run = state.run;
    const groups = {};
    run().steps.forEach((s, i) => {
      groups[s.phase] = groups[s.phase] || make('optgroup', {label: s.phase});
      groups[s.phase].append(make('option', {value: i, text: `${i + 1}. ${stepName(s)}`}));
    });
    list.replaceChildren(...Object.values(groups));
  }
  list.value = state.step;
  $('first').disabled = $('previous').disabled = state.step === 0;
  $('last').disabled = $('next').disabled = state.step === run().steps.length - 1;
}

function drawControls() {
  const {tp, sp} = run();
  $('ranks-title').textContent = plural(tp, 'rank') + (sp ? ', with sequence parallelism' : '');
  for (const input of $('tp').querySelectorAll('input')) input.checked = Number(input.value) === tp;
  $('loss').textContent = run().loss;
  $('sp').disabled = tp === 1;
  $('sp').setAttribute('aria-pressed', sp);
  $('sp').textContent = 'Sequence parallelism: ' + (sp ? 'on' : tp === 1 ? 'needs 2 ranks' : 'off');
  $('predict').setAttribute('aria-pressed', state.predict);
  $('predict').textContent = 'Predict: ' + (state.predict ? 'on' : 'off');
  $('theme').textContent = 'Theme: ' + state.theme;
}

function draw() {
  const s = step(), here = `Step ${state.step + 1} of ${run().steps.length}`;
  drawControls();
  drawList();
  const where = make('span', {class: 'phase', text: `${here}, ${s.phase}: `});
  $('title').replaceChildren(where, stepName(s));
  // The sentences are of several ranks.
  const alone =
    run().tp === 1 ? 'One rank has all of it and sends nothing. On several ranks: ' : '';
  $('why').textContent = alone + s.why;
  drawCounters();
  drawValues(s);
  drawQuiz(s);
  drawCode(s);
  drawDiagram();
  $('detail').textContent =
    'Point at a number, or reach it with Tab and the arrow keys, to see it whole.';
  $('live').textContent = `${here}, ${s.phase}: ${stepName(s)}. ${alone}${s.why}`;
  try {
    history.replaceState(null, '', `#tp=${run().tp}&sp=${run().sp ? 1 : 0}&step=${state.step + 1}`);
  } catch (error) { /* a viewer that has no history */ }
}
