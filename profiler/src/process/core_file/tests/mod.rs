//! Core files made by hand and real ones.
