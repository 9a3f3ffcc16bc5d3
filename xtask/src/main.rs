//! The project's tasks, one table; each job of the CI is one of them.

fn main() {}
