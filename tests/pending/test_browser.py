"""The demo's page and the pending page in a real browser, served by `manage.py runserver`."""

import os
import signal
import sqlite3
from contextlib import closing

import pytest
from selenium.webdriver.common.keys import Keys

from tests import readme, tour
from tests.browser import NoBrowser, browsing
from tests.captures import PENDING, text_in
from tests.demo import Demo, serving

pytestmark = [
    pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs process groups"),
    pytest.mark.timeout(180),
]

MODELS, ADMIN = "todo_demo/todo/models.py", "todo_demo/todo/admin.py"
DESC = '    desc = models.TextField("description", blank=True)\n'
COLOR = '    color = models.CharField("colour", max_length=50, blank=True)\n'


@pytest.fixture(scope="module")
def session_browser(tmp_path_factory):
    try:
        with browsing(tmp_path_factory.mktemp("chromium")) as found:
            yield found
    except NoBrowser as reason:
        if os.environ.get("CI"):
            pytest.fail(str(reason))
        pytest.skip(str(reason))


@pytest.fixture
def browser(session_browser):
    """Return a browser as wide as on a desktop, without cookies."""
    session_browser.show()
    yield session_browser
    assert session_browser.complaints == []
    session_browser.driver.delete_all_cookies()
    session_browser.open("about:blank")


@pytest.fixture
def file(tmp_path):
    """Return the SQLite file of the demo's database, which is empty."""
    return tmp_path / "db.sqlite3"


@pytest.fixture
def server(tmp_path):
    with serving(Demo(tmp_path)) as found:
        yield found


def query(file, sql):
    with closing(sqlite3.connect(file)) as connection, connection:
        return connection.execute(sql).fetchall()


def assert_says_what_the_terminal_says(browser, server):
    """Every line of the plan is on the page but the questions, which it puts in other words.

    Where it has a control, it does not name the option that does the same in a terminal.
    """
    said = server.demo.run("autoupdate", "--dry-run")
    lines = [line.strip() for line in said.splitlines() if line.startswith("  ")]
    assert lines, said
    shown = browser.words
    for line in lines:
        if line.startswith("?"):
            assert line.removeprefix("? ").split(" to ")[0] in shown, line
        else:
            words, option, _ = " ".join(line.lstrip("+-~=!# ").split()).partition(", or pass --default ")
            assert words in shown and not (option and option in shown), line


def assert_looks_good(browser):
    """Assert that nothing overflows or is hard to read, on a desktop and on a phone, in light and dark."""
    for scheme in ("light", "dark"):
        for width in (1100, 320):
            browser.show(width=width, scheme=scheme)
            assert browser.looks_bad() == [], (scheme, width)
    dark = browser.driver.execute_script("return getComputedStyle(document.body).backgroundColor")
    browser.show()
    light = browser.driver.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert dark != light


def test_bad_looks_are_found(browser):
    page = "<p style='color: %23999'>pale</p><p style='color: black'>good</p><div style='width: 4000px'>wide</div>"
    browser.open(f"data:text/html,<!doctype html>{page}")
    sideways, wide, pale = browser.looks_bad()
    assert "sideways" in sideways and "wide" in wide and "pale, 2.8" in pale


def test_lists_by_keyboard(browser, server, file):
    browser.open(server.address)
    assert_looks_good(browser)
    browser.find_text("Apply 13 changes", "button").send_keys(Keys.ENTER)
    browser.find("nav input[name=title]").send_keys("Home", Keys.ENTER)
    browser.find_text("Home", "h1")
    for title in ("Buy milk", "Call the bank, the baker and Bartholomew-Montgomery-Featherstonehaugh"):
        browser.press(*title, Keys.ENTER)  # the field has the focus
        browser.find_text(title, "li")
    assert_looks_good(browser)
    browser.press(Keys.TAB, Keys.TAB)  # over the button to the first box
    assert browser.focused.aria_role == "checkbox" and browser.focused.accessible_name == "Buy milk"
    browser.press(Keys.SPACE)
    browser.find("li.complete")
    assert query(file, "SELECT title FROM todo_todo WHERE is_complete") == [("Buy milk",)]
    browser.find_text("Home", "h1")
    browser.press(*[Keys.TAB] * 4)  # the other one is first now
    assert browser.focused.accessible_name == "Buy milk"
    browser.press(Keys.TAB)
    assert browser.focused.accessible_name == "Delete Buy milk"
    browser.press(Keys.ENTER)
    browser.find("#todos li:only-child")
    assert len(query(file, "SELECT title FROM todo_todo")) == 1
    browser.find_text("Delete the list", "button").click()
    browser.find_text("Nothing to do here.", "li")
    assert query(file, "SELECT title FROM todo_todolist") == []


def test_pages_are_those_of_the_tutorial(browser, server):
    seen = []

    def compare(picture):
        assert text_in(picture.path.read_bytes()) == browser.words, "run python -m tests.captures"
        seen.append(picture.path.name)

    tour.walk_in_browser(server, browser, compare)
    assert seen == ["demo.png", "add.png", "rename.png", "renamed.png", "require.png", "drop.png"]
    assert server.demo.run("autoupdate", "--check") == "Nothing to do: the database matches the models.\n"


def test_page_is_that_of_the_readme(browser, tmp_path):
    demo = Demo(tmp_path)
    readme.follow(demo)
    with serving(demo) as server:
        browser.show(width=tour.WIDTH)
        browser.open(server.address)
        assert text_in(PENDING.read_bytes()) == browser.words, "run python -m tests.captures"
        browser.open("about:blank")


def test_models_edited_step_by_step(browser, server, file):
    browser.open(server.address)
    browser.find_text("Apply 13 changes", "button").click()
    browser.find("nav input[name=title]").send_keys("Home", Keys.ENTER)
    browser.find_text("Home", "h1")
    query(file, "UPDATE todo_todolist SET color = 'green'")
    query(file, "INSERT INTO todo_todo (title, desc, is_complete) VALUES ('Buy milk', 'two litres', 0)")

    # A rename and a required field: asked one after the other, by keyboard.
    server.edit(
        [
            (ADMIN, '"desc"', '"notes"'),
            (MODELS, DESC, DESC.replace("desc ", "notes ") + "    priority = models.IntegerField()\n"),
        ]
    )
    browser.open(f"{server.address}lists/1/")
    browser.find_text("Was todo.Todo.desc renamed?", "legend")
    assert_says_what_the_terminal_says(browser, server)
    assert_looks_good(browser)
    browser.find("input[type=radio]").send_keys(Keys.SPACE)
    browser.press(Keys.ENTER)
    assert browser.find("input[name='default:todo.Todo.priority']").accessible_name.startswith("Value of")
    assert_looks_good(browser)
    browser.find("input[name='default:todo.Todo.priority']").send_keys("3", Keys.ENTER)
    browser.find_text("Rename column todo_todo.desc to notes", "li")
    assert_looks_good(browser)

    # Meanwhile somebody changes the database: the plan is not carried out, and the page is made again.
    query(file, "ALTER TABLE todo_todolist ADD COLUMN extra text")
    browser.find_text("Apply 2 changes", "button").click()
    browser.find_text("have changed since this page was made", "*[@role='alert']")
    query(file, "ALTER TABLE todo_todolist DROP COLUMN extra")
    browser.open(f"{server.address}lists/1/")
    browser.find("input[type=radio]").click()
    browser.find_text("Show the plan", "button").click()
    browser.find("input[name='default:todo.Todo.priority']").send_keys("3", Keys.ENTER)
    browser.find_text("Apply 2 changes", "button").click()
    browser.find_text("Home", "h1")
    assert browser.driver.current_url == f"{server.address}lists/1/"
    assert query(file, "SELECT notes, priority FROM todo_todo") == [("two litres", 3)]

    # A field that holds values goes: they are lost only once the box is ticked.
    server.edit([(ADMIN, '("title", "color")', '("title",)'), (MODELS, COLOR, "")])
    browser.open(server.address)
    browser.find_text("(1 value", "li")
    assert_says_what_the_terminal_says(browser, server)
    lose = browser.find_text("and lose data", "button")
    lose.click()
    assert browser.find(":invalid[type=checkbox]").accessible_name == "This data may be lost for good"
    assert query(file, "SELECT color FROM todo_todolist") == [("green",)]
    for summary in browser.find_all("summary"):
        summary.click()
    assert_looks_good(browser)
    browser.find("[type=checkbox]").send_keys(Keys.SPACE)
    browser.find_text("and lose data", "button").send_keys(Keys.ENTER)
    browser.find_text("On no list", "h1")
    assert "color" not in query(file, "SELECT sql FROM sqlite_master WHERE name = 'todo_todolist'")[0][0]
