// The explorer: what a reader is asked before a collective's result is shown. Every answer is taken
// from the run.

// A cell of one rank, chosen by the step, that is not zero where there is such a one.
function askedCell(s) {
  const rank = (state.step * 5 + 2) % run().tp, numbers = values(s.after, rank);
  const skip = (state.step * 7 + 3) % numbers.length;
  for (let i = 0; i < numbers.length; ++i) {
    const flat = (skip + i) % numbers.length;
    if (numbers[flat] !== 0) return {rank, flat};
  }
  return {rank, flat: skip};
}

// What the cells' two digits can be added up to: half a unit of the last one for each rank.
function isClose(typed, value, unit) {
  const truth = value / 10 ** unit, size = Math.abs(truth);
  const digit = size < 10 ? 0.01 : size < 100 ? 0.1 : 1;
  return Math.abs(typed - truth) <= Math.max(digit * (run().tp + 1) / 2, 0.02 * size);
}

function verdict(line, right, text) {
  line.className = 'verdict ' + (right ? 'right' : 'wrong');
  line.textContent = (right ? '✓ Right. ' : '✗ Not so. ') + text;
}

function askValue(s) {
  const {rank, flat} = askedCell(s), unit = unitOf(s), held = s.after;
  const truth = values(held, rank)[flat];
  const text = `After the ${opText(s)}, what does rank ${rank} hold at ` +
    `${placeOf(held, s, rank, flat)} of the whole` +
    (unit === 0 ? '?' : `, ${unitText(unit)}?`);
  const input = make('input', {type: 'text', inputmode: 'decimal', id: 'guess', autocomplete: 'off',
                               'aria-label': text});
  const line = make('span', {id: 'guess-verdict', role: 'status'});
  const check = () => {
    const typed = Number(input.value.trim().replace('−', '-').replace(',', '.'));
    if (input.value.trim() === '' || !Number.isFinite(typed))
      return verdict(line, false, 'That is no number.');
    if (!isClose(typed, truth, unit)) {
      const hint = s.largest ? 'take the largest of the ranks\' numbers there'
        : s.op === 'all_gather' ? 'find the rank that had it before'
        : 'add up what each rank had there';
      return verdict(line, false, `Look at the cells before, and ${hint}.`);
    }
    state.solved.add(solveKey());
    drawValues(s);
    markAsked(s);
    verdict(line, true, `It holds ${minus(String(truth))}.`);
  };
  const button = make('button', {type: 'submit', id: 'check', text: 'Check'});
  const show = make('button', {type: 'button', id: 'show', text: 'Show'});
  show.addEventListener('click', () => {
    state.solved.add(solveKey());
    drawValues(s);
    markAsked(s);
    line.className = 'verdict';
    line.textContent = `It holds ${minus(String(truth))}.`;
  });
  $('quiz').onsubmit = (event) => {
    event.preventDefault();
    check();
  };
  return make('fieldset', {}, make('legend', {text}), input, button,
              show, line);
}

// A question with options, of which one is the run's.
function askChoice(name, text, options, truth, explain) {
  const line = make('span', {role: 'status', id: name + '-verdict'});
  const box = make('fieldset', {id: name}, make('legend', {text}));
  for (const option of options) {
    const button = make('button', {type: 'button', text: option});
    const right = option === truth;
    button.addEventListener('click', () => verdict(line, right, right ? explain : ''));
    box.append(button);
  }
  box.append(line);
  return box;
}

function askShape(s) {
  const rank = (state.step + 1) % run().tp, tp = run().tp, held = s.after.shape;
  const before = s.before.shape;
  const positions = before.length === 3 ? [before[0], before[1] / tp, before[2]] : null;
  const features = [...before.slice(0, -1), before[before.length - 1] / tp];
  const options = [held, before, features, positions]
    .filter((shape) => shape && shape.every(Number.isInteger)).map(shapeText);
  return askChoice('ask-shape', `What shape is rank ${rank}'s part afterwards?`,
                   [...new Set(options)].sort(), shapeText(held), `It is ${s.after.placement}.`);
}

function askBytes(s) {
  const tp = run().tp, rank = (state.step + 2) % tp, sent = s.wire[rank];
  const elements = Math.max(values(s.before, rank).length, values(s.after, rank).length);
  const whole = elements * data.model.bytes_each;
  const options = [...new Set([sent, whole, 2 * whole, whole / tp])].sort((a, b) => a - b);
  return askChoice('ask-bytes', `How much does rank ${rank} send to the others?`,
                   options.map(bytes), bytes(sent),
                   `The whole tensor is ${bytes(whole)}, and there are ${tp} ranks.`);
}

function markAsked(s) {
  const {rank, flat} = askedCell(s);
  const td = document.querySelector(
    `[data-side="after"] [data-rank="${rank}"] [data-flat="${flat}"]`);
  if (td) td.classList.add('asked');
}

function drawQuiz(s) {
  const quiz = $('quiz');
  quiz.hidden = !state.predict;
  quiz.replaceChildren();
  if (!state.predict) return;
  if (!s.op) {
    quiz.append(run().tp === 1
      ? 'One rank has nobody to talk to: choose 2 or 4 ranks.'
      : 'Nothing is sent in this step. Go on to the next collective: its result will be hidden.');
    return;
  }
  quiz.append(askValue(s), askShape(s), askBytes(s));
  markAsked(s);
}
