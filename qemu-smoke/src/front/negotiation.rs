//! What a back-end says of itself, field by field.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use vhost_fuzz_core::vhost_user::features::{self, Names, protocol, virtio};
use vhost_fuzz_core::vhost_user::payload::Config;
use vhost_fuzz_core::vhost_user::{FrontendRequest as R, Payload};

use super::{FrontEnd, PATIENCE};

/// Most bytes of a configuration space that every back-end hands out.
const CONFIG_MAX: u32 = 256;

/// Bytes of the configuration space that are asked for, most first: back-ends differ in whether a
/// window may go past the end of the space.
const WINDOWS: [u32; 6] = [CONFIG_MAX, 60, 24, 12, 8, 4];

/// Protocol features that a front-end without devices can negotiate: what is learned of the device
/// depends on them, and nothing is expected of us.
const WISHED: u64 = protocol::MQ
    | protocol::REPLY_ACK
    | protocol::CONFIG
    | protocol::CONFIGURE_MEM_SLOTS
    | protocol::STATUS;

/// What a back-end says of itself. What it does not offer is not there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Negotiation {
    /// Features that it offers.
    pub(crate) features: u64,
    /// Features that were chosen.
    pub(crate) chosen: u64,
    /// Protocol features that it offers.
    pub(crate) protocol: Option<u64>,
    /// Protocol features that were chosen.
    pub(crate) chosen_protocol: Option<u64>,
    pub(crate) queues: Option<u64>,
    pub(crate) mem_slots: Option<u64>,
    pub(crate) status: Option<u64>,
    /// The configuration space, as far as it is handed out, or why it is not.
    pub(crate) config: Option<Result<Vec<u8>, String>>,
}

impl Negotiation {
    /// Connects to a back-end that listens, and asks it for everything that it offers to tell.
    ///
    /// # Errors
    /// Nobody listens, or it does not do as it should.
    pub(crate) fn of(socket: &Path) -> Result<Self> {
        Self::within(socket, PATIENCE)
    }

    /// The same, with a back-end that may take so long for a message.
    ///
    /// # Errors
    /// As [`of`](Self::of).
    pub(crate) fn within(socket: &Path, patience: Duration) -> Result<Self> {
        let mut front_end = FrontEnd::connect_within(socket, patience)?;
        let features = front_end.number(R::GET_FEATURES)?;
        front_end.must(R::SET_OWNER, Payload::None, &[])?;
        let chosen = features & (virtio::VERSION_1 | virtio::PROTOCOL_FEATURES);
        let mut negotiation = Self { features, chosen, ..Self::default() };
        if features & virtio::PROTOCOL_FEATURES != 0 {
            let offered = front_end.number(R::GET_PROTOCOL_FEATURES)?;
            let wished = offered & WISHED;
            front_end.must(R::SET_PROTOCOL_FEATURES, Payload::U64(wished), &[])?;
            negotiation.protocol = Some(offered);
            negotiation.chosen_protocol = Some(wished);
        }
        front_end.must(R::SET_FEATURES, Payload::U64(chosen), &[])?;
        let has = |bit: u64| negotiation.chosen_protocol.is_some_and(|bits| bits & bit != 0);
        let [has_queues, has_slots, has_status, has_config] =
            [protocol::MQ, protocol::CONFIGURE_MEM_SLOTS, protocol::STATUS, protocol::CONFIG]
                .map(has);
        if has_queues {
            negotiation.queues = Some(front_end.number(R::GET_QUEUE_NUM)?);
        }
        if has_slots {
            negotiation.mem_slots = Some(front_end.number(R::GET_MAX_MEM_SLOTS)?);
        }
        if has_status {
            negotiation.status = Some(front_end.number(R::GET_STATUS)?);
        }
        if has_config {
            negotiation.config = Some(config(front_end, socket, negotiation.chosen)?);
        }
        Ok(negotiation)
    }
}

/// The longest window of the configuration space that the back-end hands out. One that refuses may
/// close the connection, and serves one front-end at a time: each window has its own connection.
fn config(
    mut front_end: FrontEnd,
    socket: &Path,
    features: u64,
) -> Result<Result<Vec<u8>, String>> {
    let mut refused = String::new();
    for size in WINDOWS {
        let bytes = vec![0; usize::try_from(size)?];
        let window = Config { offset: 0, size, flags: 0, payload: &bytes };
        let asked = front_end.get(R::GET_CONFIG, Payload::Config(window), &[]);
        match asked.and_then(|answer| answer.config()) {
            Ok(bytes) => return Ok(Ok(bytes)),
            Err(error) => refused = format!("{error:#}"),
        }
        drop(front_end);
        front_end = FrontEnd::connect(socket)?;
        front_end.negotiate(features, WISHED).context("the next connection")?;
    }
    Ok(Err(refused))
}

impl fmt::Display for Negotiation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let virtio = |bits| Names(bits, features::VIRTIO);
        let protocol = |bits| Names(bits, features::PROTOCOL);
        writeln!(f, "{:<22}{}", "features", virtio(self.features))?;
        writeln!(f, "{:<22}{}", "  chosen", virtio(self.chosen))?;
        match (self.protocol, self.chosen_protocol) {
            (Some(offered), Some(chosen)) => {
                writeln!(f, "{:<22}{}", "protocol features", protocol(offered))?;
                writeln!(f, "{:<22}{}", "  chosen", protocol(chosen))?;
            }
            _ => writeln!(f, "{:<22}not offered", "protocol features")?,
        }
        for (name, value) in [("queues", self.queues), ("memory slots", self.mem_slots)] {
            match value {
                Some(value) => writeln!(f, "{name:<22}{value}")?,
                None => writeln!(f, "{name:<22}not offered")?,
            }
        }
        match self.status {
            Some(status) => writeln!(f, "{:<22}{status:#x}", "device status")?,
            None => writeln!(f, "{:<22}not offered", "device status")?,
        }
        match &self.config {
            None => write!(f, "{:<22}not offered", "configuration space"),
            Some(Err(why)) => write!(f, "{:<22}not handed out: {why}", "configuration space"),
            Some(Ok(bytes)) => {
                write!(f, "{:<22}{} bytes", "configuration space", bytes.len())?;
                let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
                for (at, line) in (0..).step_by(16).zip(bytes[..end].chunks(16)) {
                    write!(f, "\n  {at:04x}               ")?;
                    for byte in line {
                        write!(f, " {byte:02x}")?;
                    }
                }
                if end < bytes.len() {
                    write!(f, "\n  {:<21}zeros from {end:#x} on", "")?;
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_offered_is_said_to_be_so() {
        let old = Negotiation {
            features: virtio::VERSION_1,
            chosen: virtio::VERSION_1,
            ..Negotiation::default()
        };
        let text = old.to_string();
        assert_eq!(text.lines().next(), Some("features              0x100000000 (VERSION_1)"));
        assert_eq!(text.matches("not offered").count(), 5, "{text}");
        let new = Negotiation { queues: Some(2), config: Some(Ok(vec![7; 17])), ..old };
        let text = new.to_string();
        assert!(text.contains("queues                2\n"), "{text}");
        assert!(text.contains("configuration space   17 bytes\n  0000 "), "{text}");
        assert!(text.ends_with("0010                07"), "{text}");
    }
}
