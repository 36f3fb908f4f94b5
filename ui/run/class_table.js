// Sorting the table of classes: numbers the greatest first, names as people count and spell.
element.addEventListener('click', (event) => {
  const button = event.target.closest('thead button');
  if (!button) return;
  const column = Number(button.dataset.column);
  const head = button.closest('th');
  const up = head.ariaSort === 'descending' || (column === 0 && head.ariaSort !== 'ascending');
  for (const other of head.parentElement.children) other.ariaSort = null;
  head.ariaSort = up ? 'ascending' : 'descending';
  const value = (row) => row.children[column].dataset.value;
  const compare = column === 0
    ? (a, b) => value(a).localeCompare(value(b), undefined, { numeric: true })
    : (a, b) => value(a) - value(b);
  const body = element.querySelector('tbody');
  body.append(...[...body.children].sort((a, b) => (up ? compare(a, b) : compare(b, a))));
});
