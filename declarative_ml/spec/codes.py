"""The codes of problems: stable names with what they mean, an example, and the way out.

`python -m declarative_ml.spec.codes docs/errors.md` writes the reference page.
"""

from __future__ import annotations

import sys
from pathlib import Path

from declarative_ml.core.atomic import write_text
from declarative_ml.spec.code import Code
from declarative_ml.spec.deploy_codes import DEPLOY_CODES

_TABLE = (
    Code("DML001", "The spec cannot be read",
         "There is no file of this name, or it may not be opened.",
         "dml run spce.yaml", "dml run spec.yaml"),
    Code("DML002", "The spec is not UTF-8",
         "A byte in the file belongs to another encoding, such as Latin-1 or UTF-16. Save the file as UTF-8.",
         "owner: Zo\\xeb", "owner: Zoë"),
    Code("DML003", "Not valid YAML",
         "The file cannot be taken apart into keys and values. Common causes are tabs, uneven indentation, "
         "and texts with ': ' or a leading special character that need quotation marks.",
         "description: who leaves: next month", 'description: "who leaves: next month"'),
    Code("DML004", "A key is given twice",
         "One mapping holds the same key two times, so one of the values would be lost.",
         "seed: 1\nseed: 2", "seed: 2"),
    Code("DML005", "YAML tags are not allowed",
         "Tags such as !!python/object could make a reader run code; a spec is data only.",
         "seed: !!int 7", "seed: 7"),
    Code("DML006", "Several documents in one file",
         "A line '---' after the beginning starts a second YAML document. A file holds one spec.",
         "seed: 1\n---\nseed: 2", "seed: 1"),
    Code("DML007", "Too large",
         "The file is larger than 1 MB, nested more than 64 deep, holds more than 200,000 values once its "
         "aliases are expanded, or one value is longer than 200,000 characters.",
         "exclude: " + "[" * 70 + "]" * 70, "exclude: []"),
    Code("DML008", "The spec is not a mapping",
         "A spec is 'key: value' lines at the top level. This file is empty, a list, or a single value.",
         "- name: churn", "name: churn"),
    Code("DML009", "A reference leads nowhere",
         "`${env:NAME}` needs the variable to be set, or a default; `${file:path}` needs a readable UTF-8 "
         "file, relative to the spec. Other forms do not exist. A plain `${` is written `$${`.",
         "owner: ${env:DML_UNSET_EXAMPLE}", "owner: ${env:DML_UNSET_EXAMPLE:-growth}"),
    Code("DML010", "Unknown profile",
         "`--profile NAME` asks for a profile that the spec does not have under `profiles`.",
         "dml run spec.yaml --profile prdo", "dml run spec.yaml --profile prod"),
    Code("DML011", "Cannot read an override",
         "`--set` wants `key.key=value`. The value is read as YAML; a name with dots goes into quotation "
         "marks: `--set 'features.\"a.b\"=number'`.",
         "dml run spec.yaml --set seed", "dml run spec.yaml --set seed=7"),
    Code("DML012", "Unknown key",
         "The section has no key of this name. The message names the nearest one, or the section where the "
         "key belongs. Keys are never ignored: a typo would silently change the model.",
         "seeed: 7", "seed: 7"),
    Code("DML013", "Not available in this version",
         "The key or choice is planned, and this version does not have it.",
         "target: {column: Churn, type: forecast}", "target: {column: Churn, type: number}"),
    Code("DML014", "A key is missing",
         "The section cannot do without this key.",
         "target: {positive: 'Yes'}", "target: {column: Churn, positive: 'Yes'}"),
    Code("DML015", "Wrong kind of value",
         "A number, text, truth value, list or mapping stands where another kind is needed. Nothing is "
         "converted silently: 'NO' and 'yes' are texts, truth values are `true` and `false`, and a number in "
         "quotation marks is a text.",
         "refit: yes", "refit: true"),
    Code("DML016", "Unknown choice",
         "The value is not one of those that this key can have.",
         "model: lightgmb", "model: lightgbm"),
    Code("DML017", "Out of range",
         "The number is too small or too large, or the list too short or too long.",
         "data: {source: table.csv, split: {test: 20}}", "data: {source: table.csv, split: {test: 0.2}}"),
    Code("DML018", "Not a possible value",
         "The value is of the right kind and still cannot be.",
         "name: Telco Churn", "name: telco-churn"),
    Code("DML019", "No value",
         "The key stands there with nothing behind it.",
         "evaluate:", "evaluate: {metric: roc_auc}"),
    Code("DML020", "Nothing to append to",
         "In a profile or override `key+` appends to a list, but the spec has something else there.",
         "seed: 7\nprofiles: {prod: {seed+: [1]}}", "seed: 7\nprofiles: {prod: {seed: 1}}"),
    Code("DML021", "Not a number or character",
         "Infinity, not-a-number, and halves of surrogate pairs cannot be part of a spec.",
         "seed: .inf", "seed: 7"),
    Code("DML022", "A template cannot be used",
         "`extends` names a template that is not there, cannot be read or fetched, or extends itself. A bare "
         "name is a file in `specs/` beside the spec, or a template of this package; anything with a slash "
         "or an ending is a path, relative to the file that says it.",
         "extends: tabular-binry", "extends: tabular-binary"),
    Code("DML023", "A param is wrong",
         "A template declares its params with type, default, choices and pattern; `with` gives them. The "
         "param is unknown, has no value, or its value does not fit, or the declaration itself is wrong.",
         "extends: {use: tabular-binary, with: {positve: 'yes'}}",
         "extends: {use: tabular-binary, with: {positive: 'yes'}}"),
    Code("DML024", "A template may not look there",
         "A template from a package or a git repository may use `${env:…}` and `${file:…}` only for the "
         "names that your own spec allows: it must not read what it likes on your machine.",
         "extends: {use: 'pkg:acme/base'}", "extends: {use: 'pkg:acme/base', allow: ['env:REGION']}"),
    Code("DML025", "The lock does not fit",
         "With `--locked` the templates of a spec must be those that its `spec.lock.yaml` pins by digest, "
         "and git templates by commit. A lock that cannot be read is an error always.",
         "dml run spec.yaml --locked", "dml template lock spec.yaml"),
    Code("DML026", "A secret is given in clear",
         "Addresses of databases, passwords, tokens and keys do not belong into a spec: it holds a "
         "reference, and the value is looked up when it is used. Messages do not repeat it.",
         "data:\n  source: {type: sql, url: 'postgresql://me:pass@db/shop', query: SELECT * FROM orders}",
         "data:\n  source: {type: sql, url: '${env:DATABASE_URL}', query: SELECT * FROM orders}"),
    Code("DML030", "Another version of the spec's format",
         "`version` names the format that a spec is written in, not your own revisions of it. It is a whole "
         "number, and 1 is the one that this dml reads. A higher number needs a newer dml. `dml migrate` "
         "brings older specs up to date, and names with this code what it must leave to a person.",
         "version: 2", "version: 1"),
    Code("DML101", "Does not fit the type of the target",
         "A metric or option is for another type of target than `target.type`, or two of them contradict "
         "each other: roc_auc is for classes, rmse for numbers, thresholds for two classes.",
         "target: {column: Churn, type: binary}\nevaluate: {metric: rmse}",
         "target: {column: Churn, type: binary}\nevaluate: {metric: roc_auc}"),
    Code("DML102", "The target is excluded",
         "`exclude` lists columns that are never features. The target never is one; it cannot be excluded.",
         "target: Churn\nexclude: [Churn]", "target: Churn\nexclude: [customerID]"),
    Code("DML103", "A column with two roles",
         "The target, the weight, the key and the column of the split must be different columns.",
         "target: Churn\nweight: Churn", "target: Churn\nweight: importance"),
    Code("DML104", "Not a possible feature",
         "A column under `features` is the target, is excluded, or has another role.",
         "target: Churn\nfeatures: {Churn: binary, tenure: number}",
         "target: Churn\nfeatures: {tenure: number}"),
    Code("DML105", "No feature is left",
         "There is no column to learn from.",
         "features: {}", "features: auto"),
    Code("DML106", "A hash split needs a key",
         "The hash split assigns a row by the value of the column that `data.key` names.",
         "data: {source: table.csv, split: hash}", "data: {source: table.csv, split: hash, key: customerID}"),
    Code("DML107", "The split does not work out",
         "The shares leave no rows to train on, or none held out for intervals, or two ways of holding rows "
         "out exclude each other.",
         "data: {source: table.csv, split: {validation: 0.5, test: 0.5}}",
         "data: {source: table.csv, split: {validation: 0.1, test: 0.2}}"),
    Code("DML108", "Equal members",
         "Two members of the ensemble are the same model with the same options.",
         "model: {type: ensemble, members: [lightgbm, lightgbm]}",
         "model: {type: ensemble, members: [lightgbm, linear]}"),
    Code("DML109", "Without effect (warning)",
         "Something is asked for that another setting makes pointless, or a usual part is switched off.",
         "track: {enabled: false, register: churn}", "track: {register: churn}"),
    Code("DML110", "The target's first rows speak against it (warning)",
         "`dml validate` reads the first 1,000 rows of a file (and a few from further down): the target "
         "holds texts where numbers are to be predicted, or numbers where the metric is for classes, more "
         "than two classes where it is binary, the positive class in another spelling, or it looks like an "
         "id. The rows below may be different, so this does not stop a run. Behind `data.sql` nothing is "
         "looked at.",
         "target: Churn\nevaluate: {metric: rmse}", "target: Churn\nevaluate: {metric: roc_auc}"),
    Code("DML111", "Few rows of a class (warning)",
         "In the sampled rows the target has one class only, a class so rare that accuracy does not notice "
         "whether it is ever predicted (fewer than 5 rows or 1 %), or a class of one row, which cannot be "
         "both learned and tested.",
         "target: Churn\nevaluate: {metric: accuracy}",
         "target: Churn\nevaluate: {metric: roc_auc}\nimbalance: weights"),
    Code("DML112", "A feature that tells nothing (warning)",
         "Its cells are the same in every sampled row, or different in every row: an id, a number that "
         "counts the rows, or a category whose values never repeat. With `features: auto` a run leaves out "
         "most of these by itself, and only the others are named.",
         "features: {customerID: category, tenure: number}", "features: {tenure: number}"),
    Code("DML113", "The cells speak against the feature's type (warning)",
         "A number with cells that are none (texts, dates, several spellings), a date whose cells would "
         "count as missing, or a binary feature with more than two values. One odd cell is enough to make a "
         "column of numbers a column of text: correct it, or list it under `data.missing`.",
         "features: {Contract: number, tenure: number}", "features: {Contract: category, tenure: number}"),
    Code("DML114", "A feature gives the target away (warning)",
         "In all sampled rows the feature tells the target: it is the same column, the same in other words "
         "or another unit, each of its values stands beside one class only, one value (or missing) marks one"
         " of two classes, or two columns add up to the target. Such columns are often filled in only when "
         "the target is known; then the model is worth nothing for new rows. `dml init` leaves them out.",
         "features: {Contract: category, tenure: number}", "features: {tenure: number}"),
    Code("DML115", "A column cannot divide the rows (warning)",
         "The column of the split or `data.key` does not do its work: cells that name none of the parts, "
         "times that are texts or missing, groups of which there is one, keys that are missing or come "
         "twice.",
         "data: {source: table.csv, split: {method: column, column: Contract}}",
         "data: {source: table.csv, split: {method: time, column: signup}}"),
    Code("DML116", "A column among the spellings of missing (warning)",
         "`data.missing` lists how missing cells are written, not the columns where cells are missing.",
         "data: {source: table.csv, missing: [tenure]}", 'data: {source: table.csv, missing: ["", "n.d."]}'),
    Code("DML117", "The search does not fit the model",
         "`tune.space` names a model that the spec does not fit, an option that the model does not have, or "
         "values that the option cannot have; or there is nothing to search, or no held-out rows to compare "
         "options on. A key is `MODEL.OPTION`, or `OPTION` where there is one model; a member of an ensemble "
         "that has a kind twice is `lightgbm2`.",
         "model: lightgbm\ntune: {space: {lightgbm.learning_rat: {low: 0.01, high: 0.1}}}",
         "model: lightgbm\ntune: {space: {lightgbm.learning_rate: {low: 0.01, high: 0.1}}}"),
    Code("DML118", "The model cannot keep a column monotone",
         "A feature says `monotone: increasing` or `decreasing`, and a model that the spec names cannot "
         "promise it, whatever the data. With `model: auto` such candidates are left out, with the reason, "
         "and their options cannot be tuned.",
         "features: {tenure: {type: number, monotone: decreasing}}\nmodel: mlp",
         "features: {tenure: {type: number, monotone: decreasing}}\nmodel: lightgbm"),
    Code("DML125", "A gate cannot be measured",
         "A gate needs test rows where the split keeps none, held-out rows where there are none, or the name "
         "of a class: a selection rate is of one class, and the target has several.",
         "data: {source: table.csv, split: {test: 0}}\n"
         "evaluate: {gates: {good-enough: {metric: accuracy, min: 0.8}}}",
         "data: {source: table.csv, split: {test: 0}}\n"
         "evaluate: {gates: {good-enough: {metric: accuracy, min: 0.8, part: validation}}}"),
    Code("DML131", "A behavioural test that cannot be made",
         "A test under `tests` names the target, a column that the model does not take, a column that does "
         "not move by a number, or one to which its noise does not happen; or it leaves out which of several "
         "classes is meant.",
         "features: {Contract: category, tenure: number}\n"
         "tests: {loyal: {type: direction, column: Contract, by: 12, expect: lower}}",
         "features: {Contract: category, tenure: number}\n"
         "tests: {loyal: {type: direction, column: tenure, by: 12, expect: lower}}"),
    Code("DML141", "A watched column that requests do not have",
         "`monitor.drift.columns` or `monitor.log.redact` names the target, an excluded column, or one that "
         "is no feature. The model takes its features, and requests hold nothing else.",
         "features: {tenure: number}\nmonitor: {log: {path: predictions, redact: [Contract]}}",
         "features: {tenure: number, Contract: category}\n"
         "monitor: {log: {path: predictions, redact: [Contract]}}"),
    Code("DML145", "A secret goes over the network in clear",
         "`monitor.apm` has a token or an API key, and a url that begins with http: whoever sees the packets "
         "reads it, and can send events in its name. This is a warning.",
         'monitor: {apm: {url: "http://apm.example.com:8200", token: "${env:APM_TOKEN}"}}',
         'monitor: {apm: {url: "https://apm.example.com:8200", token: "${env:APM_TOKEN}"}}'),
    Code("DML148", "The registry is asked for a model without a name",
         "`registry@champion` means the model that `track.register` names, and the spec registers none. Of "
         "another model it is `registry:NAME@champion`.",
         "serve: {model: registry@champion}",
         "track: {register: churn}\nserve: {model: registry@champion}"),
    Code("DML149", "A canary that goes by a column that no request brings",
         "`serve.canary.by` names the target, or a column that is no feature: a request to the service holds "
         "the model's columns. `'*'` goes by all of them.",
         "features: {tenure: number}\nserve: {canary: {model: 'registry:churn@challenger', by: customerID}}",
         "features: {tenure: number}\nserve: {canary: {model: 'registry:churn@challenger', by: '*'}}"),
    Code("DML175", "Processes without effect (warning)",
         "`resources.processes` is for models that train with torch, such as mlp. The others use the threads "
         "of one process; theirs is the number in `resources.cpu`.",
         "model: lightgbm\nresources: {processes: 2}", "model: mlp\nresources: {processes: 2}"),
    Code("DML176", "More processes than threads",
         "The processes that train a network together share the threads of `resources.cpu`, and each takes "
         "one at least.",
         "model: mlp\nresources: {processes: 4, cpu: 2}", "model: mlp\nresources: {processes: 2, cpu: 2}"),
    Code("DML201", "The data has no such column",
         "A column that the spec names is not in the header of the data. Behind `data.sql` this is a "
         "warning, given when neither the sources nor the query mention the name.",
         "target: Chrun", "target: Churn"),
    Code("DML202", "The data cannot be read",
         "The file is missing, empty, or not what its name says. Alone it ends in exit code 5; a champion, "
         "shadow or canary that is no bundle ends in 3.",
         "data: {source: tabel.csv}\nseeed: 7", "data: {source: table.csv}\nseed: 7"),
    Code("DML203", "The data has other columns than the champion's",
         "A column that the champion reads is gone, renamed or of another type, or there is one that it does "
         "not use. A warning of `dml validate --data`; `dml check` says the same.",
         "data: {source: july.csv}\nevaluate: {champion: {path: bundle}}",
         "data: {source: june.csv}\nevaluate: {champion: {path: bundle}}"),
    Code("DML210", "The memory cannot suffice",
         "By a sample of the rows, a step needs more than `resources.memory` gives the run. `dml plan` and "
         "`dml run` say so before anything is done, and how much it needs.",
         "dml run big.yaml --set resources.memory=512Mi", "dml run big.yaml --set resources.memory=2Gi"),
)  # fmt: skip

CODES: dict[str, Code] = {
    code.code: code for code in sorted((*_TABLE, *DEPLOY_CODES), key=lambda code: code.code)
}
"""Every code, in the order of the reference page. A code keeps its meaning for ever."""

_HEAD = """# Problems in a spec

<!-- Written by `python -m declarative_ml.spec.codes docs/errors.md`; edit the table there. -->

`dml validate` lists every problem at once with its place, and ends with exit code 3 when one of them is
an error. Warnings do not stop a run. Codes never change their meaning, so they can be searched for.
"""


def codes_page() -> str:
    """The reference page of all codes as Markdown."""
    return _HEAD + "".join(_section(code) for code in CODES.values())


def _section(code: Code) -> str:
    fence = "sh" if code.is_command else "yaml"
    return (
        f"\n## {code.code}: {code.title}\n\n{code.meaning}\n\n"
        f"Wrong:\n\n```{fence}\n{code.wrong}\n```\n\nRight:\n\n```{fence}\n{code.right}\n```\n"
    )


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m declarative_ml.spec.codes FILE")
    write_text(Path(sys.argv[1]), codes_page())
