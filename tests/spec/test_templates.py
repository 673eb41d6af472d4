from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from declarative_ml.core.errors import Problem, SpecError
from declarative_ml.spec.dump import spec_to_yaml
from declarative_ml.spec.load import LoadedSpec, load_spec
from declarative_ml.spec.lock import lock_path, write_lock

Write = Callable[[str, str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    (tmp_path / "c.csv").write_text("a,b,churned\n1,x,yes\n2,y,no\n")

    def write_text(name: str, text: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
        return path

    return write_text


def options(loaded: LoadedSpec) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(spec_to_yaml(loaded.spec, loaded.path.parent))
    return found


def problems(path: Path, **more: Any) -> list[Problem]:
    with pytest.raises(SpecError) as caught:
        load_spec(path, **more)
    return [problem for problem in caught.value.problems if problem.severity == "error"]


BASE = """
    name: base
    data: {source: c.csv, split: {method: random, test: 0.3}}
    target: churned
    model: {type: lightgbm, rounds: 30, num_leaves: 8}
    exclude: [a]
"""


def test_later_templates_and_the_spec_win(write: Write) -> None:
    write("base.yaml", BASE)
    write("small.yaml", "model: {rounds: 10}\nexclude+: [b]\n")
    path = write("spec.yaml", "name: mine\nextends: [base.yaml, small.yaml]\nmodel: {num_leaves: 4}\n")
    found = options(load_spec(path))
    assert found["name"] == "mine"
    assert found["model"]["rounds"] == 10
    assert found["model"]["num_leaves"] == 4
    assert found["exclude"] == ["a", "b"]


def test_another_type_replaces_and_null_unsets(write: Write) -> None:
    write("base.yaml", BASE)
    path = write("spec.yaml", "extends: base.yaml\nmodel: {type: linear}\nexclude: null\n")
    found = options(load_spec(path))
    assert found["model"]["type"] == "linear"
    assert "rounds" not in found["model"]
    assert found["exclude"] == []


def test_an_empty_key_is_no_null(write: Write) -> None:
    write("base.yaml", BASE)
    [problem] = problems(write("spec.yaml", "extends: base.yaml\nexclude:\n"))
    assert (problem.code, problem.line) == ("DML019", 2)


def test_templates_extend_templates_in_other_folders(write: Write) -> None:
    write("team/data/c.csv", "a,churned\n1,yes\n")
    write("team/base.yaml", BASE.replace("c.csv", "data/c.csv"))
    write("team/more/mid.yaml", "extends: ../base.yaml\nowner: ${file:owner.txt}\n")
    write("team/more/owner.txt", "growth\n")
    path = write("mine/spec.yaml", "extends: ../team/more/mid.yaml\n")
    loaded = load_spec(path)
    assert loaded.spec.owner == "growth"
    assert options(loaded)["data"]["source"]["path"].endswith("team/data/c.csv")
    assert [item.label for item in loaded.templates] == [
        str(path.parent.parent / "team/more/mid.yaml"),
        str(path.parent.parent / "team/base.yaml"),
    ]


def test_a_name_is_looked_for_beside_the_spec_first(write: Write) -> None:
    write("specs/tabular-binary.yaml", BASE.replace("c.csv", "../c.csv"))
    path = write("spec.yaml", "extends: tabular-binary\n")
    assert options(load_spec(path))["model"]["rounds"] == 30


PARAMS = """
    name: base
    params:
      target: {type: string, pattern: "[a-z]+", description: what to predict}
      rounds: {type: integer, default: 30, choices: [30, 60]}
      share: {type: number, default: 0.25}
      positive: {type: string, default: null}
      note: {type: string, default: none}
    data: {source: c.csv, split: {test: "${params.share}"}}
    target: {column: "${params.target}", positive: "${params.positive}"}
    model: {type: lightgbm, rounds: "${params.rounds}"}
    description: "about ${params.target}: ${params.note}"
"""


def test_params_keep_their_type_and_go_into_texts(write: Write) -> None:
    write("base.yaml", PARAMS)
    path = write("spec.yaml", "extends: {use: base.yaml, with: {target: churned, rounds: 60, note: 5}}\n")
    spec = load_spec(path).spec
    found = options(load_spec(path))
    assert found["model"]["rounds"] == 60
    assert found["data"]["split"]["test"] == 0.25
    assert spec.description == "about churned: 5"
    assert spec.target.positive is None


def test_a_param_reaches_through_a_chain(write: Write) -> None:
    write("base.yaml", PARAMS)
    write(
        "mid.yaml",
        """
        params: {what: {type: string}}
        extends: {use: base.yaml, with: {target: "${params.what}"}}
        """,
    )
    path = write("spec.yaml", "extends: {use: mid.yaml, with: {what: churned}}\n")
    assert load_spec(path).spec.target.column == "churned"


@pytest.mark.parametrize(
    ("given", "message", "hint"),
    [
        ("{}", "the param 'target' of ", "with: {target: …}"),
        ("{targt: churned}", "base.yaml has no param 'targt'", "did you mean 'target'?"),
        ("{target: churned, rounds: many}", "the param 'rounds' must be an integer", None),
        ("{target: churned, rounds: 40}", "the param 'rounds' cannot be 40", "one of 30, 60"),
        ("{target: churned, share: true}", "the param 'share' must be a number", None),
        ("{target: Churned}", "the param 'target' cannot be 'Churned'", "it must match [a-z]+"),
        ("[target]", "'with' must map names of params to values", None),
    ],
)
def test_a_wrong_param_is_named_where_it_is_given(
    given: str, message: str, hint: str | None, write: Write
) -> None:
    write("base.yaml", PARAMS)
    found = problems(write("spec.yaml", f"extends: {{use: base.yaml, with: {given}}}\n"))
    named = [problem for problem in found if message in problem.message]
    assert [problem.code for problem in named] == ["DML023"]
    assert named[0].line >= 1
    assert named[0].file.endswith("spec.yaml" if given != "{}" else "base.yaml")
    assert hint is None or hint in str(named[0].hint)


@pytest.mark.parametrize(
    ("declaration", "message"),
    [
        ("a: text", "params.a must be a mapping"),
        ("a: {type: text}", "params.a needs a type"),
        ("a: {type: string, defualt: x}", "unknown key 'defualt' in params.a"),
        ("a: {type: integer, default: x}", "the param 'a' must be an integer"),
        ("a: {type: string, pattern: '(a'}", "this is not a pattern"),
        ("a: {type: string, choices: x}", "choices must be a list"),
        ("a: {type: string, required: perhaps}", "required is true or false"),
        ("'a b': {type: string}", "'a b' cannot be the name of a param"),
        ("a: {type: string, required: true}", "needs the param 'a'"),
    ],
)
def test_a_wrong_declaration_is_named(declaration: str, message: str, write: Write) -> None:
    write("base.yaml", textwrap.dedent(BASE) + f"params: {{{declaration}}}\n")
    found = problems(write("spec.yaml", "extends: base.yaml\n"))
    assert any(problem.code == "DML023" and message in problem.message for problem in found)
    assert all(problem.hint or "must" in problem.message or "true or" in problem.message for problem in found)


def test_a_param_without_a_value_does_not_matter_where_it_is_overridden(write: Write) -> None:
    write("base.yaml", PARAMS)
    path = write("spec.yaml", "extends: base.yaml\ntarget: {column: b}\ndescription: mine\n")
    assert load_spec(path).spec.target.column == "b"


def test_an_undeclared_param_is_named(write: Write) -> None:
    write("base.yaml", textwrap.dedent(BASE) + "params: {team: {type: string}}\nowner: ${params.tema}\n")
    [problem] = problems(write("spec.yaml", "extends: base.yaml\n"))
    assert problem.message == "${params.tema} is not declared"
    assert problem.hint == "did you mean ${params.team}?"


@pytest.mark.parametrize(
    ("extends", "message", "hint"),
    [
        (
            "tabular-binry",
            "cannot extend tabular-binry: there is no template",
            "did you mean 'tabular-binary'?",
        ),
        ("nope.yaml", "cannot extend nope.yaml: No such file or directory", None),
        ("latin.yaml", "it is not UTF-8", "save it as UTF-8"),
        ("list.yaml", "it holds no 'key: value' lines", None),
        ("spec.yaml", "it extends itself", None),
        ("a.yaml", "it extends itself", None),
        ("pkg:nope_x/base", "the package nope_x is not installed", "pip"),
        ("pkg:yaml", "not of the form pkg:PACKAGE/NAME", "pkg:acme_ml/base"),
        ("pkg:yaml/../../x.yaml", "leaves the package", None),
        ("git+ftp://x/y@v1#a.yaml", "not of the form git+URL@REV#PATH", "https"),
        ("git+https://x/y#a.yaml", "not of the form git+URL@REV#PATH", "@v1#base.yaml"),
        ("git+file:///nope/nope@v1#a.yaml", "git cannot fetch from file:///nope/nope", "git ls-remote"),
        ("3", "extends names a template", "a name, a path"),
        ("{usee: base.yaml}", "unknown key 'usee' in extends", "did you mean 'use'?"),
        ("{with: {}}", "extends needs the key 'use'", "{use: tabular-binary"),
        ("{use: base.yaml, allow: all}", "'allow' lists references", "env:REGION"),
    ],
)
def test_a_template_that_cannot_be_used_is_named(
    extends: str, message: str, hint: str | None, write: Write, tmp_path: Path
) -> None:
    write("base.yaml", BASE)
    write("a.yaml", "extends: b.yaml\n")
    write("b.yaml", "extends: a.yaml\n")
    write("list.yaml", "- 1\n")
    (tmp_path / "latin.yaml").write_bytes(b"owner: caf\xe9\n")
    found = problems(write("spec.yaml", f"name: mine\nextends: {extends}\n"))
    named = [problem for problem in found if message in problem.message]
    assert len(named) == 1
    assert named[0].code in ("DML022", "DML012")
    assert named[0].line >= 1
    assert hint is None or hint in str(named[0].hint)
    assert not any(problem.code == "DML014" for problem in found), "what is missing may be the template's"


def test_faults_inside_a_template_are_shown_in_the_template(write: Write) -> None:
    write("base.yaml", textwrap.dedent(BASE) + "seeed: 7\n")
    [problem] = problems(write("spec.yaml", "extends: base.yaml\n"))
    assert (Path(problem.file).name, problem.line, problem.code) == ("base.yaml", 7, "DML012")


def test_profiles_of_templates_come_before_those_of_the_spec(write: Write) -> None:
    write("base.yaml", textwrap.dedent(BASE) + "profiles: {quick: {model: {rounds: 5}, track: null}}\n")
    path = write("spec.yaml", "extends: base.yaml\nprofiles: {quick: {model: {num_leaves: 2}}}\n")
    found = options(load_spec(path, profile="quick"))
    assert (found["model"]["rounds"], found["model"]["num_leaves"]) == (5, 2)
    assert options(load_spec(path))["model"]["rounds"] == 30


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = tmp_path / "site" / "acme_specs_for_test"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("raise RuntimeError('a template must not run code')\n")
    monkeypatch.syspath_prepend(tmp_path / "site")
    yield folder
    sys.modules.pop("acme_specs_for_test", None)


def test_a_package_brings_templates_without_running(package: Path, write: Write) -> None:
    (package / "base.yaml").write_text(textwrap.dedent(BASE).replace("c.csv", "d/c.csv"))
    path = write("spec.yaml", "name: mine\nextends: pkg:acme_specs_for_test/base\n")
    loaded = load_spec(path)
    assert loaded.templates[0].label == "pkg:acme_specs_for_test/base.yaml"
    assert options(loaded)["data"]["source"]["path"].endswith("acme_specs_for_test/d/c.csv")


@pytest.mark.parametrize("reference", ["env:DML_CANARY", "file:secret.txt"])
def test_a_template_from_elsewhere_reads_only_what_is_allowed(
    reference: str, package: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DML_CANARY", "growth")
    (package / "secret.txt").write_text("growth")
    (package / "inner.yaml").write_text(textwrap.dedent(BASE) + f"owner: ${{{reference}}}\n")
    (package / "base.yaml").write_text(f"extends: {{use: inner.yaml, allow: ['{reference}']}}\n")
    path = write("spec.yaml", "name: mine\nextends: pkg:acme_specs_for_test/base\n")
    [problem] = problems(path)
    assert problem.code == "DML024"
    assert "growth" not in str(problem)
    path = write(
        "spec.yaml",
        f"name: mine\nextends: {{use: 'pkg:acme_specs_for_test/base', allow: ['{reference}']}}\n",
    )
    assert load_spec(path).spec.owner == "growth"


def test_a_template_of_a_package_stays_inside(package: Path, write: Write) -> None:
    (package / "base.yaml").write_text("extends: ../../c.yaml\n")
    found = problems(write("spec.yaml", "name: mine\nextends: pkg:acme_specs_for_test/base\n"))
    assert any("leaves the folder of pkg:" in problem.message for problem in found)


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "init.defaultBranch=main")
    done = subprocess.run(
        ["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "team"
    (folder / "parts").mkdir(parents=True)
    (folder / "parts" / "base.yaml").write_text(textwrap.dedent(BASE))
    (folder / "top.yaml").write_text("extends: parts/base.yaml\nmodel: {rounds: 11}\n")
    git(folder, "init", "-q")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "one")
    git(folder, "tag", "v1")
    return folder


def change(repository: Path, rounds: int) -> str:
    (repository / "top.yaml").write_text(f"extends: parts/base.yaml\nmodel: {{rounds: {rounds}}}\n")
    git(repository, "commit", "-qam", "again")
    return git(repository, "rev-parse", "HEAD")


def test_a_git_template_follows_its_branch_until_it_is_locked(repository: Path, write: Write) -> None:
    text = f"name: mine\nextends: git+file://{repository}@main#top.yaml\ndata: {{source: c.csv}}\n"
    path = write("spec.yaml", text)
    assert options(load_spec(path))["model"]["rounds"] == 11
    change(repository, 12)
    loaded = load_spec(path)
    assert options(loaded)["model"]["rounds"] == 12
    write_lock(lock_path(path), loaded.templates)
    change(repository, 13)
    assert options(load_spec(path, lock="require"))["model"]["rounds"] == 12
    assert options(load_spec(path, lock="ignore"))["model"]["rounds"] == 13


def test_a_locked_commit_needs_no_repository(repository: Path, write: Write) -> None:
    path = write(
        "spec.yaml", f"name: mine\nextends: git+file://{repository}@v1#top.yaml\ndata: {{source: c.csv}}\n"
    )
    write_lock(lock_path(path), load_spec(path).templates)
    repository.rename(repository.with_name("gone"))
    assert options(load_spec(path, lock="require"))["model"]["rounds"] == 11


def test_a_commit_can_be_named(repository: Path, write: Write) -> None:
    commit = git(repository, "rev-parse", "HEAD")
    change(repository, 12)
    path = write(
        "spec.yaml",
        f"name: mine\nextends: git+file://{repository}@{commit}#top.yaml\ndata: {{source: c.csv}}\n",
    )
    assert options(load_spec(path))["model"]["rounds"] == 11


def test_drift_is_refused_when_asked_for(write: Write) -> None:
    base = write("base.yaml", BASE)
    path = write("spec.yaml", "extends: base.yaml\n")
    [problem] = problems(path, lock="require")
    assert "there is no lock" in problem.message
    write_lock(lock_path(path), load_spec(path).templates)
    load_spec(path, lock="require")
    base.write_text(base.read_text() + "owner: me\n")
    load_spec(path)
    [problem] = problems(path, lock="require")
    assert (problem.code, problem.file) == ("DML025", str(lock_path(path)))
    assert "the template base.yaml is not the locked one: digest" in problem.message
    path.write_text("extends: [base.yaml, tabular-binary]\n")
    named = [problem.message for problem in problems(path, lock="require")]
    assert "the template specs/tabular-binary.yaml is not in the lock" in named


@pytest.mark.parametrize(
    "text", ["", "- 1", "version: 2\ntemplates: {}", "templates: {a: b}", "a: [", "\xe9"]
)
def test_a_damaged_lock_is_an_error(text: str, write: Write) -> None:
    write("base.yaml", BASE)
    path = write("spec.yaml", "extends: base.yaml\n")
    lock_path(path).write_bytes(text.encode("latin-1"))
    assert [problem.code for problem in problems(path)] == ["DML025"]


def test_a_lock_lies_where_the_spec_lies(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    write("base.yaml", BASE)
    path = write("app/spec.yaml", "extends: ../base.yaml\n")
    write_lock(lock_path(path), load_spec(path).templates)
    monkeypatch.chdir(path.parent)
    load_spec("spec.yaml", lock="require")
    assert list(yaml.safe_load(lock_path(path).read_text())["templates"]) == ["../base.yaml"]


# The same resolved spec from any equivalent split.

WHOLE: dict[str, Any] = {
    "name": "mine",
    "owner": "growth",
    "data": {
        "source": {"type": "file", "path": "c.csv"},
        "missing": ["", "NA"],
        "split": {"method": "random", "test": 0.3, "validation": 0.1},
    },
    "target": {"column": "churned", "positive": "yes"},
    "features": {"a": {"type": "number", "missing": "mean"}, "b": {"type": "category"}},
    "model": {"type": "lightgbm", "rounds": 30, "num_leaves": 8},
    "evaluate": {"metric": "roc_auc", "metrics": ["f1"], "threshold": {"maximize": "f1"}},
    "explain": {"rows": 5},
    "track": {"enabled": False},
    "seed": 7,
}


def _leaves(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _leaves(item, (*path, name))
    else:
        yield path, value


def _put(tree: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    for name in path[:-1]:
        tree = tree.setdefault(name, {})
    tree[path[-1]] = value


@pytest.mark.parametrize("seed", range(40))
def test_any_split_into_templates_profiles_and_flags_means_the_same(seed: int, write: Write) -> None:
    source = random.Random(seed)
    whole = load_spec(write("whole.yaml", json.dumps(WHOLE)))
    layers: list[dict[str, Any]] = [{}, {}, {}, {}]  # two templates, the spec, its profile
    flags = []
    kinds = {("data", "source", "type"), ("data", "split", "method"), ("model", "type")}
    kinds |= {("features", name, "type") for name in "ab"}
    for path, value in _leaves(WHOLE):
        place = source.randrange(5)
        if path in kinds:
            place = 0  # what a mapping is must be said before its options
        if place == 4:
            flags.append(f"{'.'.join(path)}={json.dumps(value)}")
            continue
        if place > 0 and source.random() < 0.3:  # something else below, overridden
            _put(layers[0], path, value)
        _put(layers[place], path, value)
    write("low.yaml", json.dumps(layers[0]))
    write("high.yaml", json.dumps({"extends": "low.yaml", **layers[1]}))
    spec = {"extends": "high.yaml", **layers[2], "profiles": {"p": layers[3]}}
    split = load_spec(write("spec.yaml", json.dumps(spec)), profile="p", overrides=flags)
    assert spec_to_yaml(split.spec, split.path.parent) == spec_to_yaml(whole.spec, whole.path.parent)
    assert split.digest == whole.digest


@pytest.mark.slow
def test_a_wheel_brings_templates(tmp_path: Path, write: Write) -> None:
    """A team's package is built, installed into a folder, and used by a process that sees it."""
    project = tmp_path / "project"
    (project / "acme_wheel").mkdir(parents=True)
    (project / "acme_wheel" / "__init__.py").touch()
    (project / "acme_wheel" / "base.yaml").write_text(textwrap.dedent(BASE))
    (project / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
        '[project]\nname = "acme-wheel"\nversion = "1.2"\n'
        '[tool.setuptools]\npackages = ["acme_wheel"]\n'
        '[tool.setuptools.package-data]\nacme_wheel = ["*.yaml"]\n'
    )
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    build = ["wheel", "--no-build-isolation", "--no-deps", "-w", str(tmp_path / "dist"), str(project)]
    subprocess.run([*pip, *build], check=True)
    [wheel] = (tmp_path / "dist").glob("*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--target", str(tmp_path / "site"), str(wheel)], check=True)
    path = write("spec.yaml", "name: mine\nextends: pkg:acme_wheel/base\ndata: {source: c.csv}\n")
    code = (
        "from pathlib import Path; from declarative_ml.spec.load import load_spec\n"
        "from declarative_ml.spec.lock import entries\n"
        f"loaded = load_spec({str(path)!r})\n"
        "print(loaded.spec.model.rounds, entries(loaded.templates, Path('.')))"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("30 ")
    assert "'version': '1.2'" in done.stdout
