"""What the dispatcher does at its edges: bodies without a length, deeds elsewhere of which nobody knows the end."""

import io
import json

import pytest

from opsplatform.core.errors import UpstreamError
from opsplatform.core.rpc import Method
from opsplatform.core.rpc_http import LARGEST_BODY
from tests.core.conftest import GOOD_TOKEN

REQUEST = {"request_id": "12345678"}


def here() -> str:
    return "here"


@pytest.mark.parametrize(("size", "status"), [(LARGEST_BODY + 1, 413), (LARGEST_BODY, 200)])
def test_a_body_of_unknown_length_is_taken_up_to_the_limit_and_refused_beyond_it(rpc_api, size, status):
    api = rpc_api(Method("echo", here, public=True))
    call = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "echo"}).encode()
    body = io.BytesIO(call + b" " * (size - len(call)))
    unknown = {"wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked"}

    response = api.client.post("/api", input_stream=body, environ_overrides=unknown, content_type="application/json")

    assert response.status_code == status
    assert ("result" in response.get_json()) == (status == 200)


@pytest.mark.parametrize(("certain", "code"), [(True, -32022), (False, -32021)])
def test_a_deed_elsewhere_whose_end_nobody_knows_is_not_done_again_under_its_request_id(rpc_api, certain, code):
    done = []

    def order() -> str:
        done.append(1)
        raise UpstreamError("dingtalk", "does not answer", certain=certain)

    api = rpc_api(Method("order", order, changes=True, outside=True))
    first = api.error("order", REQUEST, token=GOOD_TOKEN)

    again = api.error("order", REQUEST, token=GOOD_TOKEN)

    assert (first["code"], again["code"]) == (-32022, code)
    assert len(done) == (2 if certain else 1)
