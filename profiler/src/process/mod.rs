//! Processes: what is mapped where, from which file, and who that file is.
