"""What is used of scikit-learn, without pandas and SciPy's statistics, which other parts of it need."""

from nn_train.config.later import left_out

with left_out("pandas", "scipy.stats"):
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.inspection import permutation_importance
    from sklearn.metrics import auc, confusion_matrix, roc_curve

__all__ = ["RandomForestRegressor", "auc", "confusion_matrix", "permutation_importance", "roc_curve"]
