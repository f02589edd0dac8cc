"""What computes: job handlers around workers.ml, run by the embedded worker or by Celery."""
