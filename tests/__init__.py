import os

from server.supervisor import GRPC_ENVIRONMENT

# Before anything imports gRPC: what tests serve in their own process is served as in a worker.
os.environ |= GRPC_ENVIRONMENT | os.environ
