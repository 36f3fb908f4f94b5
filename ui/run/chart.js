// Reading values off the charts that ui/plots.py draws: a line at the nearest step, and what each curve is there.
const hide = (plot) => {
  plot.querySelector('.td-cursor').removeAttribute('style');
  plot.querySelector('.td-tip').removeAttribute('style');
};
const nearest = (points, step) => {
  let low = 0;
  let high = points.length - 1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (points[middle][0] < step) low = middle; else high = middle;
  }
  return step - points[low][0] < points[high][0] - step ? points[low] : points[high];
};
const read = (plot, share) => {
  const chart = JSON.parse(plot.dataset.chart);
  const wanted = chart.from + share * (chart.to - chart.from);
  const found = chart.lines.map((line) => [line, nearest(line.points, wanted)]);
  const step = found.map(([, point]) => point[0])
    .reduce((best, each) => (Math.abs(each - wanted) < Math.abs(best - wanted) ? each : best));
  const left = ((step - chart.from) / (chart.to - chart.from)) * 100;
  plot.querySelector('.td-cursor').style.cssText = `display:block;left:${left}%`;
  const tip = plot.querySelector('.td-tip');
  tip.replaceChildren();
  const head = document.createElement('span');
  head.textContent = `step ${step.toLocaleString('en')}`;
  tip.append(head);
  for (const [line, point] of found) {
    const row = document.createElement('b');
    row.style.setProperty('--c', line.colour);
    row.textContent = line.name + ' ' + point[2] + (point[0] === step ? '' : ` (step ${point[0].toLocaleString('en')})`);
    tip.append(row);
  }
  tip.style.cssText = left > 55 ? `display:block;right:calc(${100 - left}% + 8px)` : `display:block;left:calc(${left}% + 8px)`;
};
let last = null;
const move = (event) => {
  const plot = event.target.closest('.td-plot[data-chart]');
  if (last && last.plot !== plot) { hide(last.plot); last = null; }
  if (!plot) return;
  const box = plot.getBoundingClientRect();
  last = { plot, share: Math.min(1, Math.max(0, (event.clientX - box.left) / box.width)) };
  read(last.plot, last.share);
};
element.addEventListener('pointermove', move);
element.addEventListener('pointerdown', move);
element.addEventListener('pointerleave', () => { if (last) hide(last.plot); last = null; });
watch('value', () => { if (last && last.plot.isConnected && last.plot.dataset.chart) read(last.plot, last.share); });
