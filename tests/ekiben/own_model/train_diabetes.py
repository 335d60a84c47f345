"""Train a regression on scikit-learn's diabetes data, and publish it as diabetes v1."""

from services.diabetes.schema import DiabetesFeatures
from sklearn.datasets import load_diabetes
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline

from ekiben.publishing import ModelCard, frame_digest, publish_sklearn

rows, target = load_diabetes(return_X_y=True, as_frame=True, scaled=False)
train_rows, held_out_rows, train_target, held_out_target = train_test_split(rows, target, random_state=1)
model = make_pipeline(
    SimpleImputer(), GradientBoostingRegressor(n_estimators=60, max_depth=2, random_state=1)
)
model.fit(train_rows, train_target)
card = ModelCard(
    name="diabetes",
    version="v1",
    features=DiabetesFeatures,
    target="disease progression after a year",
    kind="regression",
    data_digest=frame_digest(rows),
)
publish_sklearn(model, card, held_out=(held_out_rows, held_out_target))
