//! Scans of made processes, laid out as linkers lay files out, and of real ones.

mod layouts;
mod live;
mod manners;
mod world;
