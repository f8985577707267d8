// The explorer: keys, pointer, switches.

function go(index) {
  state.step = Math.max(0, Math.min(run().steps.length - 1, index));
  draw();
}

// The step of another run that is this one, or the nearest before it that the run has.
function sameStep(from, index, to) {
  const key = (steps, i) => {
    const name = (s) => [s.phase, s.site, s.op || '', Boolean(s.largest)].join('|');
    const nth = steps.slice(0, i).filter((s) => name(s) === name(steps[i])).length;
    return name(steps[i]) + '|' + nth;
  };
  for (let i = index; i >= 0; --i) {
    const found = to.findIndex((_, j) => key(to, j) === key(from, i));
    if (found >= 0) return found;
  }
  return 0;
}

function switchTo(index) {
  if (index < 0 || index === state.run) return;
  const before = run().steps;
  state.run = index;
  go(sameStep(before, state.step, run().steps));
}

const actions = {
  ArrowRight: () => go(state.step + 1),
  ArrowDown: () => go(state.step + 1),
  ArrowLeft: () => go(state.step - 1),
  ArrowUp: () => go(state.step - 1),
  ' ': () => go(state.step + 1),
  Home: () => go(0),
  End: () => go(Infinity),
  s: () => switchTo(runIndex(run().tp, !run().sp)),
  p: () => {
    state.predict = !state.predict;
    draw();
  },
  t: () => {
    state.theme = {auto: 'dark', dark: 'light', light: 'auto'}[state.theme];
    document.documentElement.dataset.theme = state.theme;
    drawControls();
  },
};
for (const tp of new Set(data.runs.map((r) => r.tp)))
  actions[tp] = () => switchTo(runIndex(tp, tp > 1 && run().sp));

// The cell next to this one, within its table.
function neighbour(td, key) {
  const row = td.parentElement, column = [...row.cells].indexOf(td);
  const rows = [...row.parentElement.rows], line = rows.indexOf(row);
  const near = {
    ArrowRight: () => row.cells[column + 1],
    ArrowLeft: () => row.cells[column - 1],
    ArrowDown: () => rows[line + 1] && rows[line + 1].cells[column],
    ArrowUp: () => rows[line - 1] && rows[line - 1].cells[column],
    Home: () => row.cells[1],
    End: () => row.cells[row.cells.length - 1],
  }[key];
  const found = near && near();
  return found && found.tagName === 'TD' ? found : null;
}

function moveTo(td) {
  for (const other of td.closest('table').querySelectorAll('td[tabindex="0"]')) other.tabIndex = -1;
  td.tabIndex = 0;
  td.focus();
}

document.addEventListener('keydown', (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const at = event.target;
  if (at.tagName === 'TD') {
    if (event.key === 'Escape') $('panel').focus();
    const near = neighbour(at, event.key);
    if (near) moveTo(near);
    if (/^(Arrow|Home|End)/.test(event.key)) {
      event.preventDefault();
      return;
    }
  }
  if (at.matches('input[type="text"]') && event.key === 'Escape') $('panel').focus();
  // Where the key already means something: typing, choosing, pressing, scrolling.
  if (at.matches('select, input[type="text"]')) return;
  if (at.matches('input[type="radio"]') && /^(Arrow| )/.test(event.key)) return;
  if (at.matches('button, a') && event.key === ' ') return;
  if (at.matches('pre, #diagrams') && /^(Arrow|Home|End| )/.test(event.key)) return;
  const action = actions[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (!action) return;
  event.preventDefault();
  action();
});

function tell(event) {
  const at = event.target;
  if (at.tagName === 'TD') $('detail').textContent = at.getAttribute('aria-label');
}
$('values').addEventListener('mouseover', tell);
$('values').addEventListener('focusin', tell);
$('values').addEventListener('click', (event) => {
  if (event.target.tagName === 'TD') moveTo(event.target);
});
$('diagrams').addEventListener('click', (event) => {
  const node = event.target.closest('.node');
  const found = node && /^run-\d+-step-(\d+)$/.exec(node.id);
  if (found) go(Number(found[1]));
});
for (const [id, key] of Object.entries({first: 'Home', previous: 'ArrowLeft', next: 'ArrowRight',
                                       last: 'End', sp: 's', predict: 'p', theme: 't'}))
  $(id).addEventListener('click', () => actions[key]());
$('steps').addEventListener('change', () => go(Number($('steps').value)));

function start() {
  for (const tp of new Set(data.runs.map((r) => r.tp))) {
    const input = make('input', {type: 'radio', name: 'tp', value: tp});
    input.addEventListener('change', () => actions[tp]());
    $('tp').append(make('label', {title: 'Key: ' + tp}, input, String(tp)));
  }
  const m = data.model;
  $('model').prepend(`${plural(m.layers, 'block')} of ${m.heads} heads, ${m.width} wide; ` +
    `${m.length} tokens (${data.tokens.join(', ')}) of a vocabulary of ${m.vocabulary}; ` +
    `weights drawn from seed ${m.seed}; numbers in ${m.dtype}. `);
  for (const [name, meaning] of Object.entries(data.placements)) {
    const chip = make('span', {class: 'chip', text: name});
    chip.style.backgroundColor = data.colours.placements[name];
    $('legend').append(make('span', {role: 'listitem'}, chip, ' ' + meaning));
  }
  const wanted = new URLSearchParams(location.hash.slice(1));
  const found = runIndex(Number(wanted.get('tp')), wanted.get('sp') === '1');
  state.run = found >= 0 ? found : Math.max(0, runIndex(2, false));
  go(found >= 0 ? (Number(wanted.get('step')) || 1) - 1 : 0);
}
start();
