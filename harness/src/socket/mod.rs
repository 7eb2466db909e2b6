//! A back-end on a real socket that maps nothing, for tests in safe code.
//!
//! A [`Receiver`] takes messages with their descriptors from a unix stream socket, [`send`] puts
//! one on it, and a [`Server`] runs a [`Session`](vhost_fuzz_core::session::Session) over both,
//! with a [`Host`] that does what the session asks for.

mod host;
mod server;

pub use host::{Host, Mapping};
pub use server::{AsItIs, Delivery, Head, ServeError, Served, Server};
pub use vhost_fuzz_backend::socket::{ReceiveError, Receiver, send};
