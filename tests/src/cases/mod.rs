//! The tests, by topic.

mod awkward_memory;
mod commands;
mod core_files;
mod doctor;
mod errors;
mod following;
mod hostile;
mod identity;
mod in_time;
mod labels;
mod losses;
mod manners;
mod merging;
mod names;
mod namespaces;
mod ownership;
mod pprof_reports;
mod rights;
mod selection;
mod shortages;
mod silent_files;
mod special_code;
mod threads;
mod truth;
mod walks;
mod whole_stacks;
