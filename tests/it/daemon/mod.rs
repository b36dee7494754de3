//! The daemon as a whole.
