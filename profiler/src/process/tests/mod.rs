//! The acceptance tables of maps lines and of the resolver, and their application to real processes.

mod ends;
mod lines;
mod live;
mod mutation;
mod names;
mod resolver;
mod special;
pub(crate) mod support;
mod text_copies;
mod told;
