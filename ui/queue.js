// A button of the queue says what it does to which run. After the list has changed the focus is on the same button of
// the same run again, so that a run can be moved several places from the keyboard; groups stay as they were folded.
let pressed = null;
const opened = new Map();
element.addEventListener('click', (event) => {
  const button = event.target.closest('button[data-do]');
  if (!button) return;
  pressed = button.matches(':focus') ? {act: button.dataset.do, key: button.dataset.key} : null;
  trigger('click', {act: button.dataset.do, key: button.dataset.key});
});
element.addEventListener('toggle', (event) => opened.set(event.target.dataset.key, event.target.open), true);
new MutationObserver(() => {
  for (const group of element.querySelectorAll('details[data-key]')) {
    const wanted = opened.get(group.dataset.key);
    if (wanted !== undefined && group.open !== wanted) group.open = wanted;
  }
  if (!pressed) return;
  const row = [...element.querySelectorAll('button[data-do]')].filter((button) => button.dataset.key === pressed.key);
  const same = row.find((button) => button.dataset.do === pressed.act && !button.disabled);
  const next = same ?? row.find((button) => !button.disabled);
  if (next && document.activeElement !== next && element.contains(document.activeElement)) next.focus();
}).observe(element, {childList: true, subtree: true, attributes: true, attributeFilter: ['data-key', 'disabled']});
