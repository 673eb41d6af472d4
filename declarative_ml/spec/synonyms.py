"""Names of other tools, and what they are called here.

Only for hints: none of these names is ever accepted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_KEYS = {
    # place in a spec: names under which other tools, or other words, know it
    "name": "title model_name project run_name",
    "description": "comment comments note notes doc summary about",
    "owner": "author authors maintainer team contact created_by",
    "data": "dataset datasets",
    "data.source": "path file files csv filename file_path url uri table input train train_data train_file "
    "training_data training_set train_csv dataset data_path",
    "data.sources": "tables datasets",
    "data.missing": "na_values null_values missing_values nan_values nulls",
    "data.sql": "query select transform",
    "data.split": "splits partition splitting train_test_split split_method",
    "data.key": "id id_column index index_col primary_key row_id identifier",
    "data.split.method": "type strategy kind mode",
    "data.split.column": "by group groups group_by group_column time_column date_column order_by sort_by "
    "column_name timestamp split_column",
    "data.split.test": "test_size test_share test_split test_fraction holdout test_ratio test_percent "
    "testing test_data test_file test_set",
    "data.split.validation": "val valid dev eval val_size validation_size validation_split "
    "validation_fraction val_split validate validation_data validation_set",
    "data.split.folds": "cv n_splits k kfold kfolds k_fold k_folds n_folds num_folds nfold cross_validation "
    "crossval cv_folds",
    "data.split.stratify": "stratified stratify_by stratify_on",
    "data.source.path": "file filename url uri file_path filepath paths location",
    "data.source.delimiter": "delimiter sep separator delim field_separator",
    "data.source.format": "format filetype file_type kind",
    "data.source.encoding": "encoding charset codec",
    "features": "columns inputs input input_features x variables predictors fields attributes "
    "feature_columns independent feature_types dtypes columns_types",
    "features.*.type": "dtype kind data_type",
    "features.*.missing": "fillna fill impute imputer imputation missing_value_strategy fill_value na "
    "na_strategy default missing_values",
    "features.*.scale": "scaler scaling normalize normalization standardize normalizer",
    "features.*.max_levels": "max_categories most_common top_k vocab_size max_cardinality n_levels levels "
    "max_values",
    "features.*.min_count": "min_frequency min_freq rare",
    "features.*.unseen": "handle_unknown unknown oov",
    "exclude": "ignore drop drop_columns exclude_columns ignore_columns skip remove excluded omit "
    "ignored_columns ignored_features excluded_columns",
    "weight": "sample_weight sample_weights weight_column case_weight row_weight weights",
    "target": "label labels y output outputs output_features predict prediction dependent target_column "
    "label_column response outcome targets target_name class_column",
    "target.column": "name col field feature label",
    "target.type": "task problem_type task_type dtype kind problem objective",
    "target.positive": "pos_label positive_class positive_label pos",
    "model": "algorithm estimator classifier regressor learner model_type architecture models",
    "model.type": "name algorithm kind model estimator class",
    "model.rounds": "n_estimators num_rounds num_round num_boost_round num_boosting_rounds num_iterations "
    "num_trees n_trees iterations n_iter max_iter boosting_rounds ntrees trees epochs boost_rounds",
    "model.learning_rate": "lr eta step_size base_lr shrinkage",
    "model.num_leaves": "leaves max_leaves max_leaf_nodes num_leafs max_depth depth",
    "model.min_data_in_leaf": "min_child_samples min_samples_leaf min_child_weight min_leaf_size",
    "model.feature_fraction": "colsample_bytree colsample max_features colsample_bylevel",
    "model.bagging_fraction": "subsample row_sample subsample_ratio",
    "model.bagging_freq": "subsample_freq",
    "model.lambda_l1": "reg_alpha alpha l1",
    "model.lambda_l2": "reg_lambda lambda l2",
    "model.max_bin": "max_bins bins",
    "model.early_stopping": "patience early_stopping_rounds n_iter_no_change early_stop",
    "model.layers": "hidden_layers hidden_layer_sizes hidden_units units hidden hidden_size num_layers "
    "layer_sizes fc_layers",
    "model.epochs": "epoch max_epochs n_epochs num_epochs max_iter iterations steps rounds",
    "model.batch_size": "batch minibatch batchsize",
    "model.weight_decay": "l2 alpha penalty decay regularization",
    "model.activation": "act nonlinearity activation_fn",
    "model.networks": "n_networks ensemble_size k",
    "model.embedding_size": "embed_dim embedding_dim",
    "model.penalty": "c alpha l2 reg lambda reg_lambda regularization",
    "model.iterations": "max_iter n_iter epochs rounds",
    "model.members": "models estimators base_models learners components",
    "model.weights": "voting weighting method",
    "refit": "retrain fit_full refit_full",
    "imbalance": "class_weight class_weights balance balanced resample scale_pos_weight is_unbalance "
    "oversampling undersampling oversample",
    "evaluate": "evaluation eval score",
    "evaluate.metric": "scoring eval_metric primary primary_metric main_metric score validation_metric goal",
    "evaluate.metrics": "scores eval_metrics additional_metrics",
    "evaluate.slices": "slice_by by groups segments subgroups cohorts group_by",
    "evaluate.threshold": "cutoff decision_threshold cut_off",
    "evaluate.threshold.maximize": "max metric optimize maximise for",
    "evaluate.threshold.value": "threshold cutoff fixed at",
    "evaluate.gates": "thresholds_to_pass quality_gates gate acceptance criteria requirements",
    "evaluate.gates.*.metric": "score scoring",
    "evaluate.gates.*.min": "minimum at_least lower threshold above gte floor",
    "evaluate.gates.*.max": "maximum at_most upper below lte ceiling",
    "evaluate.gates.*.beats": "beat better_than compare against versus",
    "evaluate.gates.*.by": "margin delta improvement tolerance min_improvement",
    "evaluate.gates.*.sure": "strict significant significance",
    "evaluate.gates.*.confidence": "level confidence_level",
    "evaluate.gates.*.slice": "slices by segment subgroup where",
    "evaluate.gates.*.rows": "min_rows minimum_rows min_samples support",
    "evaluate.gates.*.part": "split on dataset",
    "evaluate.gates.*.latency": "max_latency time speed",
    "evaluate.gates.*.size": "max_size bytes file_size",
    "evaluate.gates.*.fairness": "bias parity",
    "evaluate.gates.*.column": "attribute group_by sensitive protected sensitive_feature",
    "evaluate.gates.*.class": "positive label outcome favourable favorable",
    "evaluate.gates.*.max_difference": "difference max_diff max_gap",
    "evaluate.gates.*.min_ratio": "ratio disparate_impact",
    "evaluate.champion": "baseline_model incumbent current production challenger",
    "evaluate.champion.path": "bundle file model folder",
    "evaluate.champion.registry": "name registered_model model_name",
    "evaluate.champion.alias": "stage version tag",
    "tune": "hyperopt tuning tuner grid_search search param_grid optuna hyperparameter_search",
    "tune.trials": "n_trials num_trials max_trials num_samples n_iter iterations budget",
    "tune.metric": "scoring objective score goal",
    "tune.space": "search_space params parameters param_space param_grid grid distributions",
    "explain": "explanation explainer shap interpretability",
    "explain.method": "type kind explainer",
    "explain.rows": "samples n_samples max_samples sample_size nsamples num_rows",
    "explain.background": "background_size background_samples background_rows reference",
    "track": "mlflow tracking tracker logging",
    "track.uri": "tracking_uri url server",
    "track.experiment": "experiment_name",
    "track.register": "registered_model_name register_model model_registry registry register_as",
    "track.enabled": "mlflow enable on active",
    "track.tensorboard": "tensorboardx tensor_board event_files events summary_writer",
    "resources": "resource limits hardware",
    "resources.processes": "nproc nproc_per_node num_processes n_processes ranks world_size ddp",
    "resources.cpu": "n_jobs threads num_threads workers cpus cores jobs n_threads nthread processors n_cpus",
    "seed": "random_state random_seed rng rng_seed",
    "profiles": "profile environments envs",
}  # fmt: skip

_NOTES = {
    # (section, "" for any): names, and what to do about them
    ("trainer training train fit hyperparameters", ""): "options of learning stand under 'model', "
    "for example model: {type: mlp, epochs: 20}",
    ("params hyperparameters arguments options kwargs config parameters settings args", "model"):
        "the options stand beside 'type': move them one level up",
    ("combiner encoder decoder encoders decoders", ""):
        "the model puts the features together by itself: delete it",
    ("preprocessing preprocess preprocessor transformers pipeline", ""):
        "a feature's type prepares its column, with options under 'features'; 'data.split' divides the rows",
    ("defaults default", ""): "options are given for each column under 'features'",
    ("backend engine executor", ""): "where steps run is said by `dml run --engine`: delete it",
    ("min max minimum maximum lower upper from to start end", "tune.space.*"):
        "a range is written low: NUMBER, high: NUMBER",
    ("values options categories type distribution space scale", "tune.space.*"):
        "write low and high, with log: true for orders of magnitude, or choices: [VALUE, VALUE]",
    ("gpu gpus cuda device accelerator use_gpu", ""): "training runs on processors: delete it",
    ("optimizer optim scheduler lr_scheduler", ""):
        "networks are trained by AdamW with a falling rate: delete it",
    ("objective loss loss_function criterion boosting boosting_type", ""):
        "it follows from the target's type: delete it, or set 'type' under 'target'",
    ("shuffle", ""): "rows are drawn whatever their order: delete it",
    ("train training train_size train_share", "data.split"):
        "the rows that are left are trained on: give 'validation' and 'test' alone",
    ("ratio ratios probabilities shares sizes proportions fractions percentages", "data.split"):
        "write validation: 0.1 and test: 0.2",
    ("encoding encoder encode one_hot onehot", "features.*"):
        "levels are encoded as the model needs: delete it",
    ("format formats date_format datetime_format parse", "features.*"):
        "the form of dates is found in the data: delete it",
    ("enabled enable on active", "explain"): "write explain: true, or explain: false",
    ("run_name run tags run_id artifact_location", "track"):
        "runs get their names and tags from dml: delete it",
    ("verbose verbosity silent log_level n_estimators_verbose", ""): "`dml run --quiet` prints results only",
    ("output_dir out output_path save_path model_path", ""): "`dml run --store DIR` says where results go",
    ("spec config pipeline project", ""): "a spec has its sections at the top level: move them there",
    ("apiversion kind metadata", ""): "a spec has no head: begin with 'name', 'data' and 'target'",
    ("imports import include includes base inherit inherits parent", ""):
        "to build on another spec, name it under 'extends'",
}  # fmt: skip

_CAVEATS = {
    ("c", "model.penalty"): "it is 1 / C",
    ("max_depth", "model.num_leaves"): "about 2 to the power of the depth",
    ("depth", "model.num_leaves"): "about 2 to the power of the depth",
    ("input_features", "features"): "`dml import ludwig FILE` turns a whole config into a spec",
    ("output_features", "target"): "`dml import ludwig FILE` turns a whole config into a spec",
    ("num_layers", "model.layers"): "the width of each, for example [64, 64]",
    ("hidden_size", "model.layers"): "the width of each, for example [64, 64]",
}

_ADVICE = {
    # (names, a choice that must be there): what to write
    ("classification classifier categorical", "multiclass"): "binary for two classes, multiclass for more",
    ("stratified stratified_split", "random"): "write random: it keeps the shares of the target's classes",
    ("kfold k_fold cv cross_validation stratified_kfold", "random"): "write {method: random, folds: 5}",
    ("group_kfold group_k_fold", "group"): "write {method: group, column: COLUMN, folds: 5}",
    ("tabm tabm_mini", "mlp"): "write {type: mlp, share: weights}",
    ("xlsx xls excel", "csv"): "save the sheet as CSV first",
}  # fmt: skip

_VALUES = {
    # a choice: other names for it; ~ marks what is not the same, and has nothing nearer here
    "number": "numeric numerical float int integer double real continuous regression decimal float64 int64 "
    "regressor",
    "category": "categorical string str object nominal enum factor discrete cat varchar text_category",
    "binary": "bool boolean flag logical two_class yes_no",
    "multiclass": "multi_class classes multinomial multilabel~ category categorical",
    "date": "datetime timestamp time day datetime64 temporal",
    "linear": "logistic logistic_regression logreg ridge lasso~ elasticnet~ glm linear_regression sgd "
    "regression linear_model linear_svc~ svm~ svc~ naive_bayes~",
    "lightgbm": "catboost~ gbm gbdt gradient_boosting random_forest~ tree~ decision_tree~ "
    "trees~ boosting hist_gradient_boosting lgbm lgb boosted_trees forest~ rf~ knn~",
    "xgboost": "xgb xgboost_cpu",
    "extra_trees": "extratrees extra_trees_classifier extremely_randomized_trees",
    "mlp": "nn neural_network neural network dnn deep tabnet~ ann torch pytorch keras tensorflow perceptron "
    "neural_net transformer~ tabular_nn tabpfn~",
    "ensemble": "stacking~ voting blend blending average averaging",
    "random": "shuffle holdout train_test_split shuffled shuffle_split",
    "time": "temporal timeseries time_series chronological date sequential time_series_split",
    "group": "grouped groups by_group group_shuffle_split",
    "column": "predefined fixed predefined_split",
    "hash": "hashed id key",
    "weights": "balanced class_weight class_weights balance",
    "oversample": "smote~ upsample over oversampling resample adasyn~",
    "standard": "zscore z_score standardize standard_scaler mean_std",
    "minmax": "min_max min_max_scaler normalize 0_1",
    "robust": "robust_scaler iqr",
    "quantile": "rank quantile_transformer rank_gauss",
    "equal": "mean avg uniform average soft hard",
    "optimized": "optimal learned auto stacking",
    "accuracy": "acc accuracy_score",
    "roc_auc": "auc auroc rocauc roc area_under_curve roc_auc_score",
    "log_loss": "cross_entropy logloss nll crossentropy binary_crossentropy bce neg_log_loss",
    "average_precision": "pr_auc aucpr auprc prauc map",
    "f1": "f1_score f_score f1_binary",
    "f1_macro": "macro_f1 f1_weighted",
    "rmse": "mse~ mean_squared_error~ root_mean_squared_error neg_mean_squared_error~ l2~ rmsle~",
    "mae": "mean_absolute_error l1 neg_mean_absolute_error",
    "r2": "r2_score rsquared r_squared r_2",
    "brier": "brier_score brier_score_loss",
    "auto": "keep all include rest passthrough automatic infer",
    "drop": "ignore remove exclude none skip",
    "median": "med most_frequent~",
    "zero": "0 constant",
    "other": "ignore unknown error~ infrequent",
    "silu": "swish",
    "relu": "leaky_relu~ elu~ selu~ rectifier",
    "shap": "full~ lime~ permutation~ importance~ shapley",
    "none": "no off false null nothing identity passthrough",
    "csv": "txt text delimited",
    "jsonl": "json ndjson json_lines",
    "parquet": "pq",
    "arrow": "feather ipc",
}  # fmt: skip


def bare(name: str) -> str:
    """A name without what people write differently: capitals, `_`, `-`, blanks and points."""
    return re.sub(r"[^a-z0-9]+", "", name.lower())


def _by_name(table: dict[str, str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for meant, names in table.items():
        for name in names.split():
            found.setdefault(bare(name), []).append(meant)
    return found


def _approximate(table: dict[str, str]) -> frozenset[str]:
    return frozenset(
        f"{bare(name)}~" for names in table.values() for name in names.split() if name.endswith("~")
    )


_PLACES = _by_name(_KEYS)
_CHOICES = _by_name(_VALUES)
_NEAREST = _approximate(_VALUES)
_SUFFIXES = ("classifier", "regressor", "model")


def places_of(name: str) -> list[str]:
    """Where a spec keeps what other tools call `name`: dotted, `*` for the name of a column."""
    return _PLACES.get(bare(name), [])


def caveat(name: str, place: str) -> str:
    """In what the key at `place` differs from what others call `name`, in brackets; "" when in nothing."""
    found = _CAVEATS.get((name.lower(), place))
    return f" ({found})" if found else ""


def note_on(name: str, section: str) -> str | None:
    """What to do with a key of another tool that has no place in a spec, or needs more than a new name."""
    notes = [
        (where, note) for (names, where), note in _NOTES.items() if bare(name) in map(bare, names.split())
    ]
    for where, note in sorted(notes, key=lambda each: each[0] != section):
        if where in (section, ""):
            return note
    return None


def choice_of(value: str, choices: Iterable[str]) -> tuple[str, bool] | None:
    """The one of `choices` that other tools call `value`, and whether it is the same or just the nearest."""
    names = [bare(value), *(bare(value).removesuffix(suffix) for suffix in _SUFFIXES)]
    choices = list(choices)
    for name in names:
        for choice in _CHOICES.get(name, []):
            if choice in choices:
                return choice, f"{name}~" not in _NEAREST
    return None


def advice_on(value: str, choices: Iterable[str]) -> str | None:
    """What to write for a value of another tool that stands for several things here."""
    choices = set(choices)
    for (names, needed), advice in _ADVICE.items():
        if needed in choices and bare(value) in map(bare, names.split()):
            return advice
    return None


def known_names() -> list[str]:
    """Every name of another tool that there is something to say on, without capitals and signs."""
    notes = {bare(name) for names, _ in _NOTES for name in names.split()}
    return sorted({*_PLACES, *notes})
