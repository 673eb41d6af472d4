"""What learning needs and no single model owns: task, dataset, splits, statistics, metrics, calibration."""
