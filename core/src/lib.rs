//! What is under test: the parsing that every vhost-user back-end has to get right.
//!
//! A back-end reads bytes that somebody hostile wrote. This crate turns such bytes into values, or
//! into an error that names the broken rule, and says what a program has to do about them. It does
//! none of that itself: it does no I/O, allocates nothing per message, and holds no `unsafe` code.
//!
//! * [`vhost_user`]: the messages of the unix socket, and the framer that cuts them out of a
//!   byte stream with their file descriptors.
//! * [`session`]: what the messages of a connection add up to, on the back-end's side.
//! * [`memory`]: regions of guest memory, address translation, the dirty log, where a ring lies.
//! * [`ring`]: chains of descriptors in split and packed rings.
//! * [`net`]: frames of a guest, and what a gateway answers.
//! * [`inflight`]: the shared memory that tells a restarted back-end what it still owes.
//! * [`frontend`]: the front-end role, on both sockets.
//! * [`channel`]: the back-end's end of the back-end channel.
//! * [`wire`]: the cursor and the sink that the codecs read from and write to.
//! * [`rule`]: the numbered requirements of `spec/` that the errors refer to.
//!
//! Every error is made of numbers, compares with `==`, and has `fn rule()`, the requirement of
//! `spec/` that the input broke.

#![forbid(unsafe_code)]
#![cfg_attr(not(test), warn(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod channel;
pub mod frontend;
pub mod inflight;
pub mod memory;
pub mod net;
pub mod ring;
pub mod rule;
pub mod session;
pub mod vhost_user;
pub mod wire;
