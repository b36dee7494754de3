//! The programs of `docs/recipes`, cut out of the pages and run: an application that enqueues in its own transaction, and
//! a worker that goes on where its last attempt stopped.

mod languages;
mod shop;
