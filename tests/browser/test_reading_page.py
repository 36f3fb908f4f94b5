"""How a file is read, in the browser: every assumption can be changed with the rows following, and big files wait."""

from pathlib import Path

from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import TRAINING_MS, Server, assert_fits, slow_line

COMMENTED = (
    "# made by a tool\nid;text;label;score\n"
    + "".join(f"{number};text number {number};{'NA' if number % 4 else 'none'};0,{number}\n" for number in range(1, 41))
    + "41;a row; with more;NA;0,5\n"
)


def open_file(page: Page, server: Server, path: Path) -> None:
    page.goto(server.url)
    page.set_input_files("#data-file input[type=file]", path)
    expect(page.locator("#file-facts")).to_be_visible()


def choose(page: Page, label: str, option: str) -> None:
    field: Locator = page.locator("#reading").get_by_label(label, exact=True)
    field.click()
    page.get_by_role("option", name=option, exact=True).click()


def test_each_assumption_is_shown_and_the_rows_follow(shared_server: Server, page: Page, tmp_path: Path) -> None:
    path = tmp_path / "shop.csv"
    path.write_text(COMMENTED, encoding="utf-8")
    open_file(page, shared_server, path)
    facts = page.locator("#file-facts")
    expect(facts).to_contain_text("41 rows · 4 columns · UTF-8 · semicolon · header yes")
    expect(facts).to_contain_text("decimal comma")
    expect(facts).to_contain_text("1 line begins with # and was left out")
    expect(facts).to_contain_text("1 row was mended")
    with page.expect_download() as download:
        page.locator("#lines-file").click()
    assert "put together" in Path(download.value.path()).read_text(encoding="utf-8")
    page.locator("#change-reading").click()
    page.locator("#ragged-rows").get_by_text("are left out and listed").click()
    expect(facts).to_contain_text("40 rows")
    expect(facts).to_contain_text("1 line was left out")
    page.locator("#null-words input, #null-words textarea").fill("NA")
    page.locator("#null-words input, #null-words textarea").press("Enter")
    expect(facts).to_contain_text("empty: NA")
    expect(page.locator("#preview")).to_contain_text("empty")
    choose(page, "Between cells", "comma  ,")
    expect(facts).to_contain_text("· comma ·")  # of the cells, not of the decimals
    choose(page, "Between cells", "detect")
    expect(facts).to_contain_text("semicolon")
    page.locator("#skip-lines input, #skip-lines textarea").fill("some")
    page.locator("#skip-lines input, #skip-lines textarea").press("Enter")
    expect(page.locator(".problem").first).to_contain_text("skip_lines")
    page.locator("#skip-lines input, #skip-lines textarea").fill("5")
    page.locator("#skip-lines input, #skip-lines textarea").press("Enter")
    expect(facts).to_contain_text("no header")
    assert_fits(page)


def test_what_is_chosen_while_another_choice_is_read_counts_too(
    shared_server: Server, page: Page, tmp_path: Path
) -> None:
    path = tmp_path / "shop.csv"
    path.write_text(COMMENTED, encoding="utf-8")
    open_file(page, shared_server, path)
    page.locator("#change-reading").click()
    expect(page.locator("#ragged-rows")).to_be_visible()
    slow_line(page)
    page.locator("#ragged-rows").get_by_text("are left out and listed").click()
    choose(page, "Decimals after a", "point  0.5")
    facts = page.locator("#file-facts")
    expect(facts).to_contain_text("40 rows")
    expect(facts).not_to_contain_text("decimal comma")
    expect(page.locator("#ragged-rows").get_by_label("are left out and listed")).to_be_checked()


def test_a_big_file_is_shown_at_once_and_read_behind_it(shared_server: Server, page: Page, tmp_path: Path) -> None:
    path = tmp_path / "big.csv"
    with path.open("w", encoding="utf-8") as out:
        out.write("text,label\n")
        for number in range(180):
            out.write("".join(f"words number {number * 10_000 + n} {'and more ' * 8},{n % 3}\n" for n in range(10_000)))
    open_file(page, shared_server, path)
    expect(page.locator("#big-file")).to_contain_text("Reading all of the file")
    page.locator("#cancel-reading").click()
    expect(page.locator("#big-file")).to_contain_text("Reading was ended")
    expect(page.locator("#file-facts")).to_contain_text("about ")
    expect(page.locator("#preview")).to_contain_text("words number 0 ")
    expect(page.locator("#data-status")).to_contain_text("once all of it is read")
    page.locator("#read-whole").click()
    expect(page.locator("#file-facts")).to_contain_text("1,800,000 rows · 2 columns", timeout=TRAINING_MS)
    expect(page.locator("#big-file")).to_be_hidden()
    expect(page.locator("#data-status")).not_to_contain_text("once all of it", timeout=TRAINING_MS)
