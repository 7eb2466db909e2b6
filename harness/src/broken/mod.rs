//! Broken implementations: for every oracle, code with the mistake that it has to see.
//!
//! Each stands for a class of historic bugs. `tests/broken/` runs the committed corpus through each
//! of them and demands that the named oracle speaks; those of [`inflight`], [`frontend`] and
//! [`soak`] have their tests in `tests/rings/inflight/`, `tests/vhost_user/channel.rs` and
//! `tests/rings/threads.rs`, and those of [`control`] run steps that are drawn from fixed seeds.

pub mod codec;
pub mod control;
pub mod dhcp;
pub mod dhcpv6;
pub mod framing;
pub mod frontend;
pub mod gateway;
pub mod inflight;
pub mod memory;
pub mod ndp;
pub mod net_device;
pub mod net_header;
#[cfg(feature = "peer-virtio-queue")]
pub mod queue;
pub mod ring;
pub mod ring_equivalence;
pub mod server;
pub mod session;
pub mod soak;
#[cfg(feature = "guest")]
pub mod soak_net;
pub mod verdicts;
