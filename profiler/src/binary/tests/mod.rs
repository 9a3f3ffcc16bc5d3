//! The acceptance tables of build-ids and address mapping, and their application to real files.

mod build_ids;
mod cache;
mod mapper;
mod mutation;
mod placement;
mod real_files;
mod symbols;
