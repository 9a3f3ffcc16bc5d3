//! The tests, by topic.

mod errors;
mod following;
mod hostile;
mod identity;
mod in_time;
mod losses;
mod manners;
mod merging;
mod names;
mod ownership;
mod pprof_reports;
mod rights;
mod special_code;
mod threads;
mod truth;
mod walks;
