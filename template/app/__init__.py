from app.workers import share_metrics

share_metrics()  # first of all: a metric that is made before counts for its own process alone
