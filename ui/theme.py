"""How the pages look: Gradio's theme variables, the style sheet, and the scripts that every page has.

Everything is local: system fonts, no stylesheet and no script from elsewhere.
"""

from pathlib import Path

import gradio as gr

STYLE_SHEETS = [
    Path(__file__).parent / name
    for name in (
        "theme.css",
        "queue.css",
        "chat.css",
        "new_run/new_run.css",
        "new_run/prompt.css",
        "new_run/forecast.css",
    )
]
SCRIPT = Path(__file__).with_name("page.js")

ACCENT = gr.themes.Color(
    name="accent", c50="#eef2ff", c100="#dfe6ff", c200="#c4d0fe", c300="#9fb1fb", c400="#8098f6", c500="#5573e6",
    c600="#3b5bdb", c700="#3049b4", c800="#2a3f94", c900="#263873", c950="#182247",
)  # fmt: skip


def theme() -> gr.themes.Base:
    """One accent colour on quiet grey, the system's own fonts, light and dark."""
    made = gr.themes.Base(
        primary_hue=ACCENT,
        secondary_hue=ACCENT,
        neutral_hue=gr.themes.colors.zinc,
        radius_size=gr.themes.sizes.radius_md,
        font=["system-ui", "-apple-system", "Segoe UI", "Roboto", "Noto Sans", "sans-serif"],
        font_mono=["ui-monospace", "SF Mono", "Consolas", "Liberation Mono", "monospace"],
    )
    made.name = "tunedesk"
    return made.set(
        body_background_fill="#fbfbfc",
        body_background_fill_dark="#111113",
        background_fill_primary="white",
        background_fill_primary_dark="#18181b",
        background_fill_secondary="#f4f4f6",
        background_fill_secondary_dark="#1c1c20",
        block_background_fill="white",
        block_background_fill_dark="#18181b",
        block_border_width="0px",
        block_shadow="none",
        block_label_background_fill="transparent",
        block_label_background_fill_dark="transparent",
        block_title_text_color="*body_text_color",
        block_title_text_color_dark="*body_text_color",
        block_title_text_weight="500",
        block_title_text_size="0.875rem",
        block_info_text_color="#64646c",
        block_info_text_color_dark="#a1a1aa",
        block_info_text_size="0.8rem",
        block_radius="10px",
        body_text_color="#1f1f23",
        body_text_color_dark="#ececf0",
        body_text_color_subdued="#64646c",
        body_text_color_subdued_dark="#a1a1aa",
        border_color_primary="#e3e3e8",
        border_color_primary_dark="#313137",
        border_color_accent_dark="*primary_400",
        color_accent_soft_dark="#232a44",
        input_background_fill="white",
        input_background_fill_dark="#1f1f24",
        input_border_color="#cfcfd6",
        input_border_color_dark="#3f3f47",
        input_border_color_focus="*primary_600",
        input_border_color_focus_dark="*primary_400",
        input_border_width="1px",
        input_shadow_focus="0 0 0 3px *primary_100",
        input_shadow_focus_dark="0 0 0 3px #2a3f9466",
        input_placeholder_color="#85858e",
        button_border_width="1px",
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_hover="*primary_700",
        button_primary_background_fill_dark="*primary_600",
        button_primary_background_fill_hover_dark="*primary_500",
        button_primary_text_color="white",
        button_primary_border_color="*primary_600",
        button_primary_border_color_dark="*primary_600",
        button_secondary_background_fill="white",
        button_secondary_background_fill_hover="#f4f4f6",
        button_secondary_background_fill_dark="#1f1f24",
        button_secondary_background_fill_hover_dark="#2a2a30",
        button_secondary_border_color="#cfcfd6",
        button_secondary_border_color_dark="#3f3f47",
        button_secondary_text_color="*body_text_color",
        button_cancel_background_fill="#b91c1c",
        button_cancel_background_fill_hover="#991b1b",
        button_cancel_background_fill_dark="#b91c1c",
        button_cancel_background_fill_hover_dark="#dc2626",
        button_cancel_border_color="#b91c1c",
        button_cancel_border_color_dark="#b91c1c",
        button_cancel_text_color="white",
        button_cancel_text_color_dark="white",
        button_large_radius="8px",
        button_medium_radius="8px",
        button_small_radius="7px",
        button_large_text_weight="550",
        button_medium_text_weight="500",
        button_small_text_weight="500",
        checkbox_label_background_fill="white",
        checkbox_label_background_fill_dark="#1f1f24",
        checkbox_label_border_color="#cfcfd6",
        checkbox_label_border_color_dark="#3f3f47",
        checkbox_label_background_fill_selected="*primary_50",
        checkbox_label_background_fill_selected_dark="#232a44",
        checkbox_label_border_color_selected="*primary_600",
        checkbox_label_border_color_selected_dark="*primary_400",
        checkbox_border_color="#9b9ba4",
        checkbox_border_color_dark="#6b6b75",
        checkbox_background_color_selected="*primary_600",
        checkbox_background_color_selected_dark="*primary_500",
        link_text_color="*primary_600",
        link_text_color_dark="*primary_300",
        link_text_color_hover="*primary_700",
        link_text_color_visited="*primary_600",
        link_text_color_visited_dark="*primary_300",
        table_border_color="#e3e3e8",
        table_border_color_dark="#313137",
        panel_background_fill="transparent",
        panel_background_fill_dark="transparent",
    )


def head() -> str:
    """Style sheet and script of every page.

    As an element of its own: Gradio's `css` puts a prefix before every selector inside @media, which then never fits.
    """
    style = "\n".join(sheet.read_text(encoding="utf-8") for sheet in STYLE_SHEETS)
    return f"<style>{style}</style><script>{SCRIPT.read_text(encoding='utf-8')}</script>"
