/* Light or dark as chosen on the Settings page; without a choice the system decides (Gradio does that itself). */
(() => {
  const apply = () => {
    const theme = localStorage.getItem('tunedesk-theme');
    const dark = theme ? theme === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;
    document.body.classList.toggle('dark', dark);
  };
  apply();
  window.tunedeskTheme = (theme) => {
    if (theme === 'light' || theme === 'dark') localStorage.setItem('tunedesk-theme', theme);
    else localStorage.removeItem('tunedesk-theme');
    apply();
  };
  window.tunedeskThemeNow = () => localStorage.getItem('tunedesk-theme') || 'system';

  /* On a phone the sidebar is a menu behind a button. */
  const show = (open) => {
    document.body.classList.toggle('menu-open', open);
    document.querySelector('#menu-button')?.setAttribute('aria-expanded', String(open));
  };
  document.addEventListener('click', (event) => {
    if (event.target.closest('#menu-button')) show(!document.body.classList.contains('menu-open'));
    else if (!event.target.closest('#sidebar')) show(false);
  });
  document.addEventListener('keydown', (event) => { if (event.key === 'Escape') show(false); });

  /* While the form of a new run is filled anew it takes nothing, but for another card. */
  let fillings = 0;
  let held = [];
  window.tunedeskHold = () => {
    fillings += 1;
    const fields = document.querySelectorAll('#new-run :is(input, textarea):not(:disabled)');
    fields.forEach((field) => { field.disabled = true; });
    held.push(...fields);
    document.querySelectorAll('#new-run .foot').forEach((foot) => { foot.inert = true; });
  };
  window.tunedeskFree = () => {
    fillings -= 1;
    if (fillings > 0) return;
    held.forEach((field) => { field.disabled = false; });
    held = [];
    document.querySelectorAll('#new-run .foot').forEach((foot) => { foot.inert = false; });
  };

  /* A Gradio text field tells the server of keys that make a character, not of what is deleted or pasted: so that is
     told as one more key. */
  let told = false;
  document.addEventListener('keydown', () => { told = false; }, true);
  document.addEventListener('keypress', () => { told = true; }, true);
  document.addEventListener('input', (event) => {
    if (!told && event.target.closest('#step-model .field, #search-settings, #parts .short')) {
      event.target.dispatchEvent(new KeyboardEvent('keypress', {key: 'Unidentified', bubbles: true}));
    }
    told = false;
  });
})();
