//! A vhost-user back-end that really serves a front-end.
//!
//! The core decides what is legal and what is to be done; this crate does it: it receives messages
//! with their descriptors, maps memory, waits for kicks, calls drivers, and runs a [`Device`].
//!
//! * [`socket`]: messages on a unix stream socket.
//! * [`mapping`]: files of a front-end in memory.
//! * [`event`]: kicks and calls.
//! * [`vring`]: a ring of a connection, with its queue and a chain.
//! * `inflight`: where the requests of a ring are recorded, for the process after this one.
//! * `notify`: calls and errors, by descriptor or as messages.
//! * [`offer`]: what no device may offer, because nobody would do it.
//! * [`device`]: what a device has to do, and what it is given to do it.
//! * [`sigbus`]: what to do when the file behind a mapping is shortened.
//! * [`net`]: a network device behind a gateway that answers.
//! * [`connection`]: one front-end, from its first message to its last.
//! * [`listener`]: one front-end after another, at a path.
//!
//! One thread serves one front-end. It sleeps in `poll` and not in `epoll`: an `epoll` set keeps
//! what was registered as long as anybody has the file open, and a front-end keeps its end of
//! every eventfd that it has sent. A set that is made anew before each sleep cannot be out of date.

pub mod connection;
pub mod device;
pub mod event;
mod host;
mod inflight;
pub mod listener;
pub mod mapping;
pub mod net;
mod notify;
pub mod offer;
pub mod sigbus;
pub mod socket;
pub mod vring;

pub use connection::{Connection, End, ServeError};
pub use device::{Device, Rings};
pub use mapping::Mapping;
pub use offer::DeviceError;
