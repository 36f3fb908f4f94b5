// Saying what a cell means.
const said = () => element.querySelector('.td-said');
const mark = (cell, on) => {
  const table = cell.closest('table');
  const column = table.querySelector(`th[data-column="${cell.dataset.column}"]`);
  const row = cell.parentElement.querySelector('th');
  for (const head of [column, row]) head.classList.toggle('td-marked', on);
};
const enter = (event) => {
  const cell = event.target.closest('td[data-column]');
  if (!cell) return;
  mark(cell, true);
  said().textContent = cell.dataset.said || said().dataset.rest;
};
const leave = (event) => {
  const cell = event.target.closest('td[data-column]');
  if (!cell) return;
  mark(cell, false);
  said().textContent = said().dataset.rest;
};
for (const name of ['mouseover', 'focusin']) element.addEventListener(name, enter);
for (const name of ['mouseout', 'focusout']) element.addEventListener(name, leave);
