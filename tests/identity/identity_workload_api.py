"""A SPIFFE Workload API server of ours, over a real Unix socket, for the tests."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from identity_maker import SUBJECT, Key, claims

SVID_KEY = Key("k1", use="jwt-svid")


class Agent:
    """What the Workload API answers: whatever ``token`` makes of the request."""

    def __init__(self) -> None:
        self.token: Any = lambda request: SVID_KEY.sign(claims(aud=request.audience[0], jti="j"))
        self.requests: list[Any] = []
        self.metadata: list[dict[str, str]] = []


@contextmanager
def workload_api(directory: Path) -> Iterator[tuple[Agent, str]]:
    pytest.importorskip("spiffe", reason="the spiffe extra is not installed")
    import grpc
    from spiffe._proto import workload_pb2, workload_pb2_grpc

    agent = Agent()

    class Servicer(workload_pb2_grpc.SpiffeWorkloadAPIServicer):  # type: ignore[misc]
        def FetchJWTSVID(self, request: Any, context: Any) -> Any:
            agent.requests.append(request)
            agent.metadata.append(dict(context.invocation_metadata()))
            token = agent.token(request)
            if token is None:
                context.abort(grpc.StatusCode.PERMISSION_DENIED, "no identity issued")
            svids = [workload_pb2.JWTSVID(spiffe_id=SUBJECT, svid=token)] if token else []
            return workload_pb2.JWTSVIDResponse(svids=svids)

    server = grpc.server(ThreadPoolExecutor(2))
    workload_pb2_grpc.add_SpiffeWorkloadAPIServicer_to_server(Servicer(), server)
    socket = f"unix://{directory}/api.sock"
    server.add_insecure_port(socket)
    server.start()
    try:
        yield agent, socket
    finally:
        server.stop(0).wait()
