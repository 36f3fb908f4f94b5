// Rows of the error browser: opening one, saying what is wrong with its label, asking for more about it.
const row = (part) => {
  const details = part.closest('details[data-row]');
  return { fold: Number(details.dataset.fold), row: Number(details.dataset.row) };
};
// `toggle` does not bubble. What the program sent open is open already.
element.addEventListener('toggle', (event) => {
  const details = event.target;
  if (!details.matches('details[data-row]') || !details.open || details.querySelector('.td-whole')) return;
  trigger('openrow', row(details));
}, true);
element.addEventListener('click', (event) => {
  const button = event.target.closest('button[data-do]');
  if (!button) return;
  const what = button.dataset.do;
  if (what === 'more') {
    const text = button.closest('.td-whole').querySelector('.td-full');
    const clamped = text.classList.toggle('td-clamped');
    button.textContent = clamped ? 'more' : 'less';
    return;
  }
  const form = button.closest('form');
  const classes = form ? [...form.querySelectorAll('option:checked, input:checked')].map((one) => one.value) : [];
  const chosen = classes.filter((name) => name !== '');
  if (what === 'wrong' && form.dataset.kind === 'one' && !chosen.length) {
    form.querySelector('select').focus();
    return;
  }
  if (['wrong', 'ambiguous', 'right'].includes(what)) trigger('mark', { ...row(button), verdict: what, classes: chosen });
  else trigger('ask', { ...row(button), what, label: button.dataset.label || '' });
});
element.addEventListener('submit', (event) => event.preventDefault());
// A row that was opened by hand keeps the keyboard where it was.
watch('value', () => {
  const open = element.querySelector('details[open] > summary');
  if (open && (document.activeElement === document.body || !document.activeElement)) open.focus({ preventScroll: true });
});
