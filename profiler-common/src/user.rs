//! Leave for user space to hand the shared types to the kernel and back; the only `unsafe` of this crate.

use crate::{Layout, MappingRun, Page, ProcessRun, Settings};

// SAFETY: `repr(C)`, made of integers only, and the size assertion beside its definition leaves no room for
// padding, so every byte is initialised and every bit pattern is a value.
unsafe impl aya::Pod for Settings {}
// SAFETY: as above.
unsafe impl aya::Pod for Layout {}
// SAFETY: as above.
unsafe impl aya::Pod for ProcessRun {}
// SAFETY: as above.
unsafe impl aya::Pod for MappingRun {}
// SAFETY: as above.
unsafe impl aya::Pod for Page {}
