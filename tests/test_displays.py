"""What notebooks show: it is looked at in a real browser, and nothing that anybody wrote runs in it."""

import json
import shutil
from collections.abc import Iterator

import pytest
from conftest import Desk, Town, done
from test_server import be

import gitqueue as gq
from gitqueue.api import show
from gitqueue.api.files import Files

# Each tells on itself by `document.title`, by markup that no template has, or by a line turned around.
EVIL = (
    "<script>document.title='ran'</script>",
    "<img src=x onerror=document.title='ran'>",
    "\"' onmouseover=document.title='ran' autofocus onfocus=document.title='ran' x=",
    "</pre></details></td></style></textarea></title><svg/onload=document.title='ran'><evil></evil>",
    "javascript:document.title='ran'",
)
ALL = " ".join(EVIL)
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c6360f8cf500f0003860180"
    "5a347d6b0000000049454e44ae426082"
)


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    from playwright.sync_api import sync_playwright

    path = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as play:
        flags = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        opened = play.chromium.launch(executable_path=path, args=flags)
        yield opened
        opened.close()


def looked_at(browser: object, *htmls: str) -> object:
    tab = browser.new_page()  # type: ignore[attr-defined]
    tab.set_content(f"<title>safe</title>{''.join(htmls)}", wait_until="load")
    tab.mouse.move(50, 50)
    return tab


@pytest.mark.slow
def test_nothing_that_anybody_wrote_runs_in_a_browser(
    town: Town, rachel: Desk, monkeypatch: pytest.MonkeyPatch, browser: object
) -> None:
    name = EVIL[1].replace("/", "")
    job_yaml = (
        f"name: {json.dumps(ALL[:200])}\ndescription: {json.dumps(ALL)}\npurpose: {json.dumps(ALL)}\n"
        f"project: {{name: {json.dumps(EVIL[3])}, description: {json.dumps(ALL)}}}\ntags: [{json.dumps(EVIL[1])}]\n"
        "run: python main.py\noutputs: ['*']\n"
    )
    files = {"job.yaml": job_yaml.encode(), "main.py": f"# {ALL}\nx = {ALL!r}\n".encode(), f"{name}.py": ALL.encode()}
    rachel.request("rachel/evil", files)
    done(town.desk("owen").gitqueue("comment", "rachel/evil", "-m", ALL))
    be(monkeypatch, town, "owen")
    site = gq.connect(town.site)
    job = site.requests[0]
    left = Files({f"{name}.csv": f"{ALL},{ALL}\n{ALL},1\n".encode(), f"{EVIL[0][:20]}.txt": ALL.encode(), "a.png": PNG,
                  "x.html": EVIL[0].encode(), "b.png": f"<svg onload={EVIL[0]}".encode()})  # fmt: skip
    named = show.table("thing", show.Grid(("status", "x"), [(ALL, ALL)] * 9))
    told = show.card(ALL, ALL, {ALL: ALL}, show.Grid((ALL,), [(ALL,)])) + show.files({name: ALL.encode()}, [ALL])
    server = gq.create_server(str(town.site))
    lists = (site.requests, site.projects, site.datasets)
    everything = (job, *lists, job.code, left, job.files, site, server, site.projects[0], site.datasets[0])
    htmls = [one._repr_html_() for one in everything] + [told]
    tab = looked_at(browser, *htmls, named)
    assert tab.title() == "safe"  # type: ignore[attr-defined]
    count = "() => document.querySelectorAll('evil, .gitqueue script, .gitqueue svg').length"
    assert tab.evaluate(count) == 0  # type: ignore[attr-defined]
    handlers = "() => [...document.querySelectorAll('.gitqueue *')].flatMap(e => e.getAttributeNames()"
    found = tab.evaluate(f"{handlers}.filter(n => n.startsWith('on')).map(n => e.tagName + n))")  # type: ignore[attr-defined]
    assert set(found) == {"INPUToninput"}, "our own search box has one; nothing else has"
    assert tab.evaluate("() => document.querySelectorAll('.gitqueue img').length") == 1  # type: ignore[attr-defined]
    assert EVIL[3] in tab.inner_text("body"), "it is shown, as text"  # type: ignore[attr-defined]
    assert all("document.title" in html for html in htmls[:3])


@pytest.mark.slow
def test_the_search_box_leaves_the_rows_that_hold_the_words(browser: object) -> None:
    rows = [("pending", f"rachel/{name}") for name in "abcdefghi"]
    html = show.table("job", show.Grid(("status", "job"), rows))
    tab = looked_at(browser, html)
    tab.fill("input", "L/C")  # type: ignore[attr-defined]
    assert tab.inner_text("tbody").split() == ["pending", "rachel/c"]  # type: ignore[attr-defined]


def test_pages_escape_and_write_out_what_nobody_would_see() -> None:
    html = show.table("job", show.Grid(("job",), [("<b>\u202ex",)]))
    assert "&lt;b&gt;" in html
    assert "\u202e" not in html


def test_a_picture_is_one_by_its_bytes_and_a_table_shows_its_first_rows() -> None:
    html = show.files(
        {"a.png": b"no picture", "b.png": PNG, "c.csv": b"n\n" + b"".join(b"%d\n" % n for n in range(99))}
    )
    assert html.count("<img") == 1
    assert "and 79 more rows" in html
