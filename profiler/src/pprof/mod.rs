//! Builds one pprof message and nothing else: no processes, no files, no clock.
