"""What providers and other drivers put into a URL for MySQL or MariaDB, as data: what says no more than what is so in
any case, and what to write instead of all else. docs/connecting.md has it as a table.
"""

# The options that this driver has besides those of app/url_options.py.
OWN: dict[str, str] = {}
# Taken with these values only.
IDLE = {"autocommit": ("true", "1"), "charset": ("utf8mb4",)}
# "Instead of the option ... "
INSTEAD = {
    "write ssl-mode=REQUIRED, or ssl-mode=VERIFY_IDENTITY to know the server": (
        *("ssl", "sslaccept", "tls", "usessl", "requiressl", "verifyservercertificate"),
        *("ssl_verify_cert", "ssl_verify_identity", "ssl-verify-server-cert", "ssl_verify_server_cert"),
    ),
    "write ssl-mode=DISABLED": ("ssl_disabled",),
    "write ssl-mode": ("ssl_mode",),
    "write ssl-ca": ("ssl_ca",),
    "write ssl-cert": ("ssl_cert",),
    "write ssl-key": ("ssl_key",),
    "write ssl-cert and ssl-key": ("sslidentity",),
    "write nothing: it is TLS 1.2 or later": ("tls-version", "tls_version", "ssl-cipher", "ssl_cipher"),
    "write unix_socket": ("socket",),
    "write nothing: all text is utf8mb4": ("charset", "characterencoding", "useunicode", "collation"),
    "write nothing: all times are UTC": ("servertimezone", "time_zone", "timezone", "parsetime", "loc"),
    "write nothing: a statement is committed by itself or in its transaction": ("autocommit",),
    "write nothing: the pool replaces lost connections": ("reconnect", "autoreconnect"),
    "write nothing: the server says how it lets in": ("auth_plugin", "default-auth", "allowpublickeyretrieval"),
    "write nothing: it is for another driver": ("local_infile", "allowloadlocalinfile", "multistatements"),
    "set it on the server": ("init_command", "sessionvariables", "sql_mode", "sql-mode"),
    "set DATABASE_CONNECT_TIMEOUT": ("connect_timeout", "connecttimeout", "connectiontimeout", "timeout"),
    "set DATABASE_STATEMENT_TIMEOUT": ("read_timeout", "write_timeout", "socket_timeout", "sockettimeout"),
    "set DATABASE_POOL_SIZE and DATABASE_MAX_OVERFLOW": (
        *("connection_limit", "connectionlimit", "pool_size", "max_overflow", "maxsize", "minsize"),
    ),
    "set DATABASE_POOL_TIMEOUT": ("pool_timeout",),
    "set DATABASE_POOL_RECYCLE": ("pool_recycle",),
    "write user, password and database in their places": ("user", "password", "db", "database"),
}
