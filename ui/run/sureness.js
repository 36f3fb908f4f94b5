// The slider of thresholds: says what each comes to as it moves, and tells the program when it rests.
const box = () => element.querySelector('.td-threshold');
const slide = () => element.querySelector('input[type=range]');
const show = () => {
  if (!box()) return;
  const places = JSON.parse(box().dataset.places);
  const place = Number(slide().value);
  element.querySelector('.td-from').textContent = places.shown[place];
  element.querySelector('.td-comes-to').textContent = places.said[place];
  slide().setAttribute('aria-valuetext', places.said[place]);
  for (const button of element.querySelectorAll('button[data-place]')) {
    button.setAttribute('aria-pressed', Number(button.dataset.place) === place);
  }
  const mark = element.querySelector('svg .chosen');
  mark.setAttribute('visibility', place ? 'visible' : 'hidden');
  for (const end of ['x1', 'x2']) mark.setAttribute(end, places.x[place]);
};
const rest = () => trigger('choose');
element.addEventListener('input', (event) => { if (event.target === slide()) show(); });
element.addEventListener('change', (event) => { if (event.target === slide()) rest(); });
element.addEventListener('click', (event) => {
  const button = event.target.closest('button[data-place]');
  if (!button) return;
  slide().value = button.dataset.place;
  show();
  rest();
});
watch('value', show);
show();
