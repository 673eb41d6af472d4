"""`extends`: the templates below a spec, lowest priority first, each with its own params and templates.

    extends: tabular-binary                            a name in specs/ beside the file, or of this package
    extends: ../team/base.yaml                         a path, relative to the file that says it
    extends: pkg:acme_ml/base                          a file of an installed package
    extends: git+https://example.com/specs.git@v1#base.yaml
    extends: [base.yaml, {use: tabular-binary, with: {positive: "yes"}, allow: ["env:HOME"]}]

A template that is neither the user's file nor this package's may use only the references that `allow` names.
"""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib import util as importing
from pathlib import Path

from declarative_ml.core.errors import DmlError, Problem
from declarative_ml.core.versions import library_version
from declarative_ml.spec.git import Reference, open_tree
from declarative_ml.spec.homes import GitHome, Home, LocalHome, TemplateError
from declarative_ml.spec.merge import merge
from declarative_ml.spec.normalize import expand_shorthands
from declarative_ml.spec.params import read_params, substitute
from declarative_ml.spec.positions import Node, dotted
from declarative_ml.spec.yaml_reader import MAX_BYTES, read_yaml

MAX_TEMPLATES = 32
MAX_CHAIN = 8
_NAME = re.compile(r"[A-Za-z0-9_-]+")
_KEYS = ("use", "with", "allow")


def library() -> Path:
    """The folder of the templates that come with this package."""
    package = Path(__file__).parents[1]
    inside = package / "specs"
    return inside if inside.is_dir() else package.parent / "specs"


@dataclass(frozen=True)
class Used:
    """A template that went into a spec."""

    name: str
    """As `extends` says it."""
    label: str
    digest: str
    pinned: Mapping[str, str]
    is_local: bool
    """Whether the label is a path on this machine."""


@dataclass
class Templates:
    """Reads the templates of one spec, and keeps what the rest of the reading needs to know of them."""

    commits: Mapping[str, str] = field(default_factory=dict)
    """Git template -> the commit to take, from the lock."""
    problems: list[Problem] = field(default_factory=list)
    homes: dict[str, Home] = field(default_factory=dict)
    """Label -> the file's home, the spec's own included."""
    texts: dict[str, str] = field(default_factory=dict)
    """Label -> text, of files whose label is no path on this machine."""
    used: list[Used] = field(default_factory=list)
    profiles: dict[str, list[Node]] = field(default_factory=dict)
    """Name -> overlays, lowest priority first."""

    def assemble(
        self, root: Node, home: Home, given: Node | None = None, chain: tuple[str, ...] = ()
    ) -> Node:
        """The document with its templates below it, shorthands written out, without `profiles`."""
        self.homes[home.label] = home
        where = home.label if chain else "the spec"
        values = read_params(root.value.get("params"), given, self.problems, where)
        own = {name: node for name, node in root.value.items() if name not in ("params", "profiles")}
        document = substitute(replace(root, value=own), values, self.problems)
        extends = document.value.pop("extends", None)
        layers = [self._entry(entry, home, (*chain, home.label)) for entry in _entries(extends)]
        self._keep_profiles(root.value.get("profiles"), values)
        document = expand_shorthands(document)
        if extends is None:
            return document
        base = replace(root, value={})
        for layer in (*filter(None, layers), document):
            base = merge(base, layer, self.problems)
        return base

    def _entry(self, entry: Node, home: Home, chain: tuple[str, ...]) -> Node | None:
        use, given, allow = self._read_entry(entry)
        if use is None:
            return None
        name = str(use.value)
        try:
            found = self._open(name, home, allow)
            if found.label in chain:
                raise TemplateError(f"it extends itself: {' > '.join((*chain, found.label))}")
            if len(chain) > MAX_CHAIN or len(self.used) >= MAX_TEMPLATES:
                raise TemplateError(f"more than {MAX_CHAIN} templates deep, or {MAX_TEMPLATES} in all")
            content = found.content(MAX_BYTES)
            text = content.decode("utf-8-sig")
            if len(content) > MAX_BYTES:
                raise TemplateError(f"it is larger than {MAX_BYTES:,} bytes")
        except UnicodeDecodeError:
            self._refuse(use, f"cannot extend {name}: it is not UTF-8", "save it as UTF-8")
            return None
        except DmlError as error:
            hint = (
                error.hint or "paths are relative to the file that says them; `dml template list` shows names"
            )
            self._refuse(use, f"cannot extend {name}: {error.message}", hint)
            return None
        digest = hashlib.sha256(content).hexdigest()
        self.used.append(Used(name, found.label, digest, found.pinned(), found.is_local))
        if not found.is_local:
            self.texts[found.label] = text
        return self._read(text, found, use, given, chain)

    def _read(
        self, text: str, home: Home, use: Node, given: Node | None, chain: tuple[str, ...]
    ) -> Node | None:
        root, problems = read_yaml(text, home.label)
        self.problems += problems
        if root is None and problems:
            return None
        if root is None or not root.is_mapping:
            self._refuse(
                use,
                f"cannot extend {use.value}: it holds no 'key: value' lines",
                "a template is a part of a spec",
            )
            return None
        return self.assemble(root, home, given or replace(use, value={}), chain)

    def _read_entry(self, entry: Node) -> tuple[Node | None, Node | None, Node | None]:
        """The nodes of `use`, `with` and `allow`; the first is None when the entry is wrong."""
        if isinstance(entry.value, str) and entry.value:
            return entry, None, None
        if not entry.is_mapping:
            self._refuse(entry, "extends names a template", "a name, a path, or {use: …, with: {…}}")
            return None, None, None
        for name, node in entry.value.items():
            if name not in _KEYS:
                near = difflib.get_close_matches(name, _KEYS, n=1)
                hint = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(_KEYS)}"
                self._refuse(node, f"unknown key '{name}' in extends", hint, code="DML012", at_key=True)
        use, allow = entry.value.get("use"), entry.value.get("allow")
        if use is None or not isinstance(use.value, str) or not use.value:
            self._refuse(use or entry, "extends needs the key 'use'", "{use: tabular-binary, with: {…}}")
            use = None
        if allow is not None and not isinstance(allow.value, list):
            self._refuse(allow, "'allow' lists references", "for example ['env:REGION', 'file:query.sql']")
            allow = None
        return use, entry.value.get("with"), allow

    def _open(self, name: str, home: Home, allow: Node | None) -> Home:
        allowed = frozenset(str(item.value) for item in allow.value) if allow is not None else frozenset()
        if home.allowed is not None:
            allowed &= home.allowed  # a template cannot allow its own what it may not do itself
        return find(name, home, allowed, self.commits)

    def _keep_profiles(self, node: Node | None, values: Mapping[str, Node | None]) -> None:
        if node is None:
            return
        for name, profile in (node.value if node.is_mapping else {"": node}).items():
            if profile.is_mapping:
                kept = substitute(profile, dict(values), self.problems)
                self.profiles.setdefault(name, []).append(kept)
                continue
            path = dotted(("profiles", name) if name else ("profiles",))
            hint = "for example profiles: {prod: {seed: 7}}"
            self._refuse(profile, f"{path} must be a mapping of keys", hint, code="DML015", at_key=True)

    def _refuse(
        self, node: Node, message: str, hint: str | None, *, code: str = "DML022", at_key: bool = False
    ) -> None:
        place = node.key if at_key and node.key is not None else node.place
        self.problems.append(
            Problem(code, message, file=place.file, line=place.line, column=place.column, width=place.width,
                    hint=hint)
        )  # fmt: skip


def find(
    name: str, home: Home, allowed: frozenset[str] = frozenset(), commits: Mapping[str, str] | None = None
) -> Home:
    """Where the template `name` lies for a file at `home`. Raises TemplateError or UsageError.

    `allowed` are the references that it may use if it comes from elsewhere, `commits` the locked commits.
    """
    if name.startswith("git+"):
        reference = Reference.parse(name)
        tree = open_tree(reference.url, reference.revision, (commits or {}).get(name))
        return GitHome(name, allowed, tree, reference.path)
    if name.startswith("pkg:"):
        return _package_file(name, allowed)
    if not _NAME.fullmatch(name):
        return home.beside(name)
    near = home.beside(f"specs/{name}.yaml")
    if near.exists():
        return near
    path = library() / f"{name}.yaml"
    if not path.is_file():
        raise TemplateError("there is no template of this name", hint=_near_name(name, home))
    return LocalHome(f"specs/{name}.yaml", None, path, library())


def _entries(extends: Node | None) -> list[Node]:
    if extends is None:
        return []
    return extends.value if isinstance(extends.value, list) else [extends]


def _package_file(name: str, allowed: frozenset[str]) -> Home:
    """A file of an installed package, found without running the package's code."""
    package, _, path = name.removeprefix("pkg:").partition("/")
    if not (package.isidentifier() and path):
        raise TemplateError("it is not of the form pkg:PACKAGE/NAME", hint="for example pkg:acme_ml/base")
    found = importing.find_spec(package)
    places = list((found.submodule_search_locations if found else None) or [])
    if not places:
        raise TemplateError(f"the package {package} is not installed", hint="install it with pip")
    file = path if path.endswith((".yaml", ".yml")) else f"{path}.yaml"
    root = Path(places[0])
    version = library_version(package.replace("_", "-"))
    home = LocalHome(f"pkg:{package}/{file}", allowed, root / file, root, version)
    if not home.path.resolve().is_relative_to(root.resolve()):
        raise TemplateError(f"{file} leaves the package")
    return home


def names() -> list[str]:
    """The templates that come with this package."""
    return sorted(path.stem for path in library().glob("*.yaml"))


def _near_name(name: str, home: Home) -> str:
    beside = sorted(path.stem for path in (home.folder / "specs").glob("*.yaml")) if home.folder else []
    known = [*names(), *beside]
    near = difflib.get_close_matches(name, known, n=1)
    if near:
        return f"did you mean '{near[0]}'?"
    return f"one of {', '.join(known)}; a path ends in .yaml"
