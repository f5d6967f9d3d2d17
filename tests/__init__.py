import os

from server.run.supervisor import GRPC_ENVIRONMENT

# Before anything imports gRPC: what tests serve in their own process is served as in a worker.
os.environ |= GRPC_ENVIRONMENT | os.environ
# Tests start PostgreSQL beside threads of gRPC's, whose handlers would run in the process that is forked.
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"
