"""The codes of problems with what is deployed; see `spec.codes`."""

from __future__ import annotations

from declarative_ml.spec.code import Code

DEPLOY_CODES = (
    Code("DML151", "An image that may change, or none",
         "Images have a tag other than latest, or a digest: else what runs changes without a trace. That of "
         "the training has `-train` behind the tag of the other; beside a digest it must be named.",
         "deploy: {image: registry.example.com/churn:latest}",
         "deploy: {image: registry.example.com/churn:1.4.0}"),
    Code("DML152", "Not a quantity",
         "Amounts are written as Kubernetes does: 500m or 2 for processors, 512Mi or 2Gi for memory.",
         "deploy: {image: registry.example.com/churn:1.4.0, serve: {resources: {memory: 512 MB}}}",
         "deploy: {image: registry.example.com/churn:1.4.0, serve: {resources: {memory: 512Mi}}}"),
    Code("DML153", "More is asked for than the limit",
         "What a pod asks for lies below its limit, or no server takes it.",
         "deploy: {image: registry.example.com/churn:1.4.0, serve: {resources: {cpu: 2, limits: {cpu: 1}}}}",
         "deploy: {image: registry.example.com/churn:1.4.0, serve: {resources: {cpu: 1, limits: {cpu: 2}}}}"),
    Code("DML154", "Not a schedule",
         "A schedule has the five fields of cron, in a time zone that there is; what it starts is one job.",
         'data: {source: {type: sql, url: "${env:DATABASE_URL}", query: SELECT * FROM churn}}\n'
         "deploy:\n  image: registry.example.com/churn:1.4.0\n"
         "  secrets: {DATABASE_URL: {secret: db, key: url}}\n  train: {schedule: every day}",
         'data: {source: {type: sql, url: "${env:DATABASE_URL}", query: SELECT * FROM churn}}\n'
         "deploy:\n  image: registry.example.com/churn:1.4.0\n"
         '  secrets: {DATABASE_URL: {secret: db, key: url}}\n  train: {schedule: "0 3 * * *"}'),
    Code("DML155", "Not a name of an object",
         "Namespaces, secrets, claims, volumes: names of small letters, digits and hyphens, 63 at most.",
         "deploy: {image: registry.example.com/churn:1.4.0, namespace: ML_Prod}",
         "deploy: {image: registry.example.com/churn:1.4.0, namespace: ml-prod}"),
    Code("DML156", "At most fewer than at least",
         "`replicas.max` is below `replicas.min`.",
         "deploy: {image: registry.example.com/churn:1.4.0, serve: {replicas: {min: 3, max: 2}}}",
         "deploy: {image: registry.example.com/churn:1.4.0, serve: {replicas: {min: 2, max: 3}}}"),
    Code("DML157", "Data of this machine in pods",
         "The training runs in pods, and they do not have the files of this machine. Put data on a volume "
         "that pods mount and give its path there, or read it from an object store or a database.",
         "data: {source: table.csv}\ndeploy: {image: registry.example.com/churn:1.4.0, train: {}}",
         "data: {source: /data/table.csv}\n"
         "deploy:\n  image: registry.example.com/churn:1.4.0\n"
         "  train: {volumes: {data: {claim: churn-data, at: /data}}}"),
    Code("DML158", "A secret that pods do not get",
         "A secret of the spec is a reference such as `${env:NAME}`; in pods the variable is from a secret "
         "of the cluster, which `deploy.secrets` names. A secret in clear does not belong into `env`.",
         'serve: {token: "${env:DML_TOKEN}"}\ndeploy: {image: registry.example.com/churn:1.4.0}',
         'serve: {token: "${env:DML_TOKEN}"}\n'
         "deploy:\n  image: registry.example.com/churn:1.4.0\n"
         "  secrets: {DML_TOKEN: {secret: churn, key: token}}"),
    Code("DML159", "Fields of pods that a server refuses",
         "What `pod` lays over the rendered pods leaves something that no server takes: an unknown field, a "
         "port name of more than 15 characters, a volume that is not there. As a warning: what only a "
         "namespace with the security standard `restricted` refuses.",
         "deploy: {image: registry.example.com/churn:1.4.0, pod: {nodeSelektor: {disk: ssd}}}",
         "deploy: {image: registry.example.com/churn:1.4.0, pod: {nodeSelector: {disk: ssd}}}"),
    Code("DML160", "A patch that does not work",
         "A patch fits no object that is rendered, its place is not there, or what it leaves is refused.",
         "deploy:\n  image: registry.example.com/churn:1.4.0\n"
         "  patches: [{kind: StatefulSet, merge: {spec: {replicas: 2}}}]",
         "deploy:\n  image: registry.example.com/churn:1.4.0\n"
         "  patches: [{kind: Deployment, merge: {spec: {revisionHistoryLimit: 3}}}]"),
    Code("DML161", "Without effect at this target (warning)",
         "The target has no such thing.",
         "dml deploy --to docker-compose", "dml deploy --to kubernetes"),
    Code("DML162", "A volume or a network that does not work out",
         "A volume is mounted at an absolute path that is not one of ours, steps that run in parallel need a "
         "store that several nodes can write, and addresses are ranges such as 10.0.0.0/8.",
         "deploy:\n  image: registry.example.com/churn:1.4.0\n"
         "  serve: {volumes: {more: {claim: more, at: data}}}",
         "deploy:\n  image: registry.example.com/churn:1.4.0\n"
         "  serve: {volumes: {more: {claim: more, at: /data}}}"),
    Code("DML163", "A label, annotation or variable that cannot be",
         "Labels have keys and values of at most 63 letters, digits and -_. inside; those that selectors use "
         "are ours.",
         "deploy: {image: registry.example.com/churn:1.4.0, labels: {team: Growth & Co}}",
         "deploy: {image: registry.example.com/churn:1.4.0, labels: {team: growth}}"),
    Code("DML164", "The target does not run this",
         "Some targets run only the service, others only the training.",
         "dml deploy --train --to docker-compose", "dml deploy --train --to kubernetes"),
    Code("DML180", "A registry that the service does not reach",
         "The service follows the registry: it needs an MLflow server, or without `track.uri` the registry "
         "in `deploy.store`; the name of the model; and a target that lets it choose its model.",
         "track: {uri: 'sqlite:////home/ann/mlflow.db', register: churn}\n"
         "deploy: {image: registry.example.com/churn:1.4.0, serve: {model: registry@champion}}",
         "track: {uri: https://mlflow.example.com, register: churn}\n"
         "deploy: {image: registry.example.com/churn:1.4.0, serve: {model: registry@champion}}"),
    Code("DML181", "Files that the service does not find where it is deployed",
         "The root of a container is read-only and ends with it: the prediction log goes to a volume that "
         "may be written, and the certificate of an APM server is read from one.",
         "monitor: {log: /var/log/churn}\ndeploy: {image: registry.example.com/churn:1.4.0}",
         "monitor: {log: /log}\n"
         "deploy:\n  image: registry.example.com/churn:1.4.0\n"
         "  serve: {volumes: {log: {claim: churn-log, at: /log, read_only: false}}}"),
    Code("DML182", "Trained by a schedule, and served from an image (warning)",
         "Each training makes a new model, and the service goes on with the one in its image. It follows the "
         "registry with `deploy.serve.model: registry@champion` and `track.register`.",
         'data: {source: {type: sample, name: iris}}\ntarget: species\n'
         "deploy:\n  image: registry.example.com/churn:1.4.0\n  serve: {}\n"
         '  train: {schedule: "0 3 * * *"}',
         'data: {source: {type: sample, name: iris}}\ntarget: species\n'
         "track: {register: churn}\n"
         "deploy:\n  image: registry.example.com/churn:1.4.0\n  serve: {model: registry@champion}\n"
         '  train: {schedule: "0 3 * * *"}'),
    Code("DML183", "Files that batch scoring does not have",
         "What `deploy.predict` reads and writes lies on a volume that its pods mount, the output on one "
         "that may be written; or it is an address or a table.",
         "deploy:\n  image: registry.example.com/churn:1.4.0\n"
         "  predict: {source: new.csv, output: scored.parquet}",
         "deploy:\n  image: registry.example.com/churn:1.4.0\n"
         "  predict:\n    source: /data/new.csv\n    output: /data/scored.parquet\n"
         "    volumes: {data: {claim: churn-data, at: /data, read_only: false}}"),
    Code("DML184", "The server of others cannot do this",
         "With `runtime: triton` or `tf-serving` the server of others answers. It serves the model of its "
         "image, TensorFlow Serving a SavedModel, and has no token, no watch of drift, no log and no canary.",
         "data: {source: {type: sample, name: iris}}\ntarget: species\n"
         "deploy:\n  image: registry.example.com/churn:1.4.0\n"
         "  serve:\n    to: {type: kubernetes, runtime: tf-serving,\n"
         "         runtime_image: 'docker.io/tensorflow/serving:2.19.1'}",
         "data: {source: {type: sample, name: iris}}\ntarget: species\nconvert: [savedmodel]\n"
         "deploy:\n  image: registry.example.com/churn:1.4.0\n"
         "  serve:\n    to: {type: kubernetes, runtime: tf-serving,\n"
         "         runtime_image: 'docker.io/tensorflow/serving:2.19.1'}"),
)  # fmt: skip
