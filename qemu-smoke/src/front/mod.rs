//! Front-ends of our own.
//!
//! * [`Wire`]: any bytes go out, whole messages come in.
//! * [`FrontEnd`]: sends nothing that a front-end may not send, and judges every reply.
//! * [`disk::Disk`]: a block device behind the front-end of the `vhost` crate.
//! * [`guest::Guest`]: a strict one with memory and two queues.
//! * [`Negotiation`]: what a back-end says of itself.

pub(crate) mod disk;
pub(crate) mod guest;
mod negotiation;
mod strict;
mod wire;

pub(crate) use negotiation::Negotiation;
pub(crate) use strict::FrontEnd;
pub(crate) use wire::{PATIENCE, Wire, encode};
