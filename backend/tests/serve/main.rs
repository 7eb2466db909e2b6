//! A back-end serves real front-ends over sockets.

mod backend;
mod client;
mod connection;
mod listener;
