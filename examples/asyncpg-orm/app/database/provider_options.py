"""What providers, other drivers and libpq put into a URL for PostgreSQL, as data: what is ours too, what says no more
than what is so in any case, and what to write instead of all else. docs/connecting.md has it as a table.
"""

# The options that this driver has besides those of app/url_options.py; libpq's words.
OWN = {
    "port": "port",
    "session_attrs": "target_session_attrs",
    "negotiation": "sslnegotiation",
    "application_name": "application_name",
}
# Taken with these values only.
IDLE = {
    "channel_binding": ("disable", "prefer"),
    "client_encoding": ("utf8", "utf-8"),
    "gssencmode": ("disable",),
    "ssl_min_protocol_version": ("tlsv1.2",),
    "sslcompression": ("0",),
    "sslsni": ("1",),
}
# "Instead of the option ... ": https://www.postgresql.org/docs/current/libpq-connect.html has libpq's own.
INSTEAD = {
    "write sslmode=require, or sslmode=verify-full&sslrootcert=system to know the server": ("ssl", "sslaccept", "tls"),
    # asyncpg 0.32 knows SCRAM-SHA-256 alone: without PLUS nothing is bound to the server's certificate.
    "write sslmode=verify-full&sslrootcert=system, which knows the server too: the driver cannot bind channels": (
        "channel_binding",
    ),
    "write sslcert and sslkey": ("sslidentity",),
    "write nothing: no revocation list is read": ("sslcrl", "sslcrldir"),
    "write nothing: the host's name is always sent": ("sslsni",),
    "write nothing: it is TLS 1.2 or later, without compression": (
        *("ssl_min_protocol_version", "ssl_max_protocol_version", "sslcompression"),
    ),
    "write gssencmode=disable: the driver encrypts by TLS alone": ("gssencmode",),
    "set DATABASE_CONNECT_TIMEOUT": ("connect_timeout", "timeout"),
    "set DATABASE_STATEMENT_TIMEOUT": ("statement_timeout", "command_timeout", "socket_timeout"),
    "set DATABASE_POOL_SIZE and DATABASE_MAX_OVERFLOW": (
        *("connection_limit", "pool_size", "max_overflow", "max_size", "min_size"),
    ),
    "set DATABASE_POOL_TIMEOUT": ("pool_timeout",),
    "set DATABASE_EXTERNAL_POOLER=true, if it is a pooler in transaction mode": (
        *("pgbouncer", "statement_cache_size", "prepared_statement_cache_size", "prepared_statements"),
        *("prepare", "prepare_threshold", "preparethreshold"),
    ),
    "write nothing of an endpoint, which TLS names, and set all else for the role, by ALTER ROLE ... SET": (
        *("options", "endpoint"),
    ),
    "set it for the role, by ALTER ROLE ... SET": (
        *("schema", "search_path", "currentschema", "timezone", "lock_timeout"),
    ),
    "write application_name": ("fallback_application_name",),
    "write nothing: all text is UTF-8": ("client_encoding", "charset"),
    "write user, password and database in their places": ("user", "password", "dbname", "service", "passfile"),
    "write the address in the host's place": ("hostaddr",),
    "write nothing: what was idle is asked before its use": (
        *("keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout"),
    ),
    "write nothing: it is for another driver": ("uselibpqcompat", "supa", "workaround", "load_balance_hosts"),
}
