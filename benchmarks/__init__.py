"""The benchmarks: ``python -m benchmarks [section ...] [--quick]``; see docs/benchmarks.md."""
