"""The router: where clients send requests with promises.

A request's way, file by file: `grpc_api` takes the call, `admission` resolves the promise and refuses what nobody
could serve, `dispatcher` carries its `journey` from replica to replica until it ends, `placing` asks the core where it
should be, `attempt` relays one replica's stream, `ledger` counts what became of it. Beside the way, `directory` holds
what is known of the replicas, which `watch` renews from the sources in `load_store` and `probe`.
"""
