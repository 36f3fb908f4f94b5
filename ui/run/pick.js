// Asking for the rows behind a figure; by keyboard too, where what is pressed is no button.
const pick = (event) => {
  const asked = event.target.closest('[data-true], [data-predicted], [data-least]');
  if (!asked) return;
  const { true: right, predicted, least, most } = asked.dataset;
  trigger('pick', {
    true: right || null,
    predicted: predicted || null,
    least: least ? Number(least) : null,
    most: most ? Number(most) : null,
  });
  event.preventDefault();
};
element.addEventListener('click', pick);
element.addEventListener('keydown', (event) => {
  if ((event.key === 'Enter' || event.key === ' ') && event.target.closest('[role=button]')) pick(event);
});
