//! The cases of core files, made by hand field by field. Real ones, of the kernel and of gdb, are in the end-to-end suite.

mod broken;
mod files;
mod made;
mod memory;
mod mutation;
mod notes;
