"""What mkdocs asks while it builds: the files of the site, its menu, and the Markdown of each page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import site_api
import site_links
import site_menu
import site_pages
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[2]
_instead: dict[str, str] = {}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Pages and pictures under the paths that they have in the repository, so that its own links hold; the menu."""
    for file in list(files):
        if file.src_dir == config.docs_dir:
            files.remove(file)
    pages = site_pages.pages(ROOT)
    texts = {page: site_pages.text(ROOT, page) for page in pages}
    titles = {page: site_pages.title(text, page) for page, text in texts.items()}
    said = {page: site_pages.first_sentence(text) for page, text in texts.items()}
    doors, every = site_api.doors(ROOT), site_api.modules(ROOT)
    linked = {path for page, text in texts.items() for path in site_links.targets(page, text)}

    made = {site_api.page(name): site_api.markdown(name) for name in doors}
    made["api/index.md"] = site_api.index(doors, every)
    for folder in site_menu.folders(pages):
        made[site_menu.index_page(folder)] = site_menu.index_text(folder, pages, titles, said)
    _instead.clear()
    _instead.update(_places(linked - set(pages), made, every, doors))
    sources = {page: path for path, page in _instead.items() if page.startswith("source/")}
    made |= {page: site_links.source_text(ROOT, path) for page, path in sources.items()}
    made |= {f"{page}.md": texts[page] for page in pages if page.endswith(".ipynb")}
    _instead.update({page: f"{page}.md" for page in pages if page.endswith(".ipynb")})

    for page in pages:
        if page.endswith(".md"):
            files.append(_file(config, page, site_pages.address(page), text=texts[page]))
    for page, text in made.items():
        files.append(_file(config, page, site_pages.address(page.replace(".ipynb.md", ".ipynb")), text=text))
    for path in sorted(linked):
        if path.endswith(site_links.IMAGES):
            files.append(_file(config, path, path.removeprefix("docs/"), path=ROOT / path))
    menu = site_menu.menu([page for page in pages if page != "docs/index.md"], titles, doors)
    config.nav = _with_notebooks(menu)
    return files


def on_page_markdown(markdown: str, page: Any, config: MkDocsConfig, files: Files) -> str:
    """The page with links to what is no page led to what shows it."""
    return site_links.rewritten(page.file.src_uri, markdown, _instead)


def _places(
    linked: set[str], made: dict[str, str], every: dict[str, Path], doors: list[str]
) -> dict[str, str]:
    """What to show instead of each file or folder that is linked and is neither page nor picture."""
    modules = {
        file.relative_to(ROOT).as_posix().removesuffix("/__init__.py"): name for name, file in every.items()
    }
    found = {}
    for path in sorted(linked):
        if path.endswith((".md", *site_links.IMAGES)) or not (ROOT / path).exists():
            continue
        if f"{path}/index.md" in made:
            found[path] = f"{path}/index.md"
        elif modules.get(path) in doors:
            found[path] = site_api.page(modules[path])
        elif (ROOT / path).is_dir() and (ROOT / path / "README.md").exists():
            found[path] = f"{path}/README.md"
        elif (ROOT / path).is_file():
            found[path] = site_links.source_page(path)
        else:
            inside = [name for name in doors if name.startswith(f"{modules.get(path, path)}.")]
            found[path] = site_api.page(inside[0]) if inside else "api/index.md"
    return found


def _with_notebooks(entry: Any) -> Any:
    if isinstance(entry, str):
        return f"{entry}.md" if entry.endswith(".ipynb") else entry
    if isinstance(entry, dict):
        return {name: _with_notebooks(inside) for name, inside in entry.items()}
    return [_with_notebooks(each) for each in entry]


def _file(
    config: MkDocsConfig, page: str, at: str, *, path: Path | None = None, text: str | None = None
) -> File:
    file = (
        File.generated(config, page, content=text)
        if text is not None
        else File.generated(config, page, abs_src_path=str(path))
    )
    file.dest_uri = at
    return file
