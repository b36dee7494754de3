//! The light crate for applications.

pub mod client;
#[doc(hidden)]
pub mod domain;
#[doc(hidden)]
pub mod principal;
#[doc(hidden)]
pub mod store;

pub use crate::client::Client;
