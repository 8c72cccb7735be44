"""Credentials in a URI are refused where the config is made, and not repeated."""

from __future__ import annotations

import pytest

from nn_train.config import config_from_dict
from nn_train.config.uris import holds_credentials
from nn_train.errors import RequestError

WITH = (
    "s3://KEY:SECRET@bucket/results",
    "S3://KEY:SECRET@bucket/results",
    "s3://bucket/results?access_key=KEY&secret_key=SECRET",
    "https://bucket.s3.amazonaws.com/x.npz?X-Amz-Signature=SECRET",
)
WITHOUT = (
    "C:/data/a@b.npz",
    "s3://bucket/a:b@c/x.npz",
    "s3://bucket/results?scheme=http&endpoint_override=127.0.0.1:9000",
    "hdfs://namenode:8020/results",
)


@pytest.mark.parametrize("field", ["data.source", "run.storage_path"])
@pytest.mark.parametrize("uri", WITH)
def test_credentials_in_a_uri_are_refused(field, uri):
    section, _, name = field.partition(".")
    with pytest.raises(RequestError, match=f"^{field}: the URI holds credentials.* AWS_SECRET_ACCESS_KEY$") as caught:
        config_from_dict({section: {name: uri}})
    assert "SECR" not in str(caught.value).replace("AWS_SECRET_ACCESS_KEY", "")
    assert "KEY:" not in str(caught.value)


@pytest.mark.parametrize("place", WITHOUT)
def test_other_places_are_left_alone(place):
    assert not holds_credentials(place)
