//! What a driver said, and what follows from it.

use super::bits::Bits;
use super::coalesce::{Coalescing, Wishes};
use super::config::{ConfigError, ControlConfig};
use super::error::{ControlError, Stop};
use super::filter::Filter;
use super::source::{Source, Target};
use super::steer::{Queues, Steered, Steering};
use super::{ack, array, class, coal, mac, mq, rx, vlan};
use crate::net::Mac;
use crate::net::config_space::{ConfigSpace, status};
use crate::net::header::Features;
use crate::ring::AccessError;

/// The largest number of a VLAN; 4095 is reserved.
const VLAN_MAX: u16 = 4094;

/// What a driver can switch off. Bits 46 and 47 of the command stand for features 65 and 66.
const OFFLOADS: Features = Features::from_bits(
    Features::GUEST_CSUM.bits()
        | Features::GUEST_TSO4.bits()
        | Features::GUEST_TSO6.bits()
        | Features::GUEST_ECN.bits()
        | Features::GUEST_UFO.bits()
        | Features::GUEST_USO4.bits()
        | Features::GUEST_USO6.bits()
        | TUNNELS.bits(),
);

const TUNNELS: Features = Features::from_bits(
    Features::GUEST_UDP_TUNNEL_GSO.bits() | Features::GUEST_UDP_TUNNEL_GSO_CSUM.bits(),
);

/// How far the bits of tunnels in the command are from those of the features.
const TUNNEL_SHIFT: u32 = 65 - 46;

/// What became of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It has taken effect.
    Done {
        /// Bytes of the result.
        len: u32,
    },
    /// It has had no effect.
    Refused(ControlError),
}

impl Outcome {
    /// What the driver is told.
    #[must_use]
    pub const fn ack(self) -> u8 {
        match self {
            Self::Done { .. } => ack::OK,
            Self::Refused(_) => ack::ERR,
        }
    }

    /// Bytes that the driver may read: the ack and the result (NET-036).
    #[must_use]
    pub const fn used_len(self) -> u32 {
        match self {
            Self::Done { len } => len.saturating_add(1),
            Self::Refused(_) => 1,
        }
    }

    /// The bytes of the result.
    ///
    /// # Errors
    /// Why the command was refused.
    pub const fn result(self) -> Result<u32, ControlError> {
        match self {
            Self::Done { len } => Ok(len),
            Self::Refused(error) => Err(error),
        }
    }
}

/// A device as its driver has set it up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Control {
    config: ControlConfig,
    /// What was negotiated.
    features: Features,
    /// The address of the driver.
    mac: Mac,
    /// The driver was told that address, or told it.
    is_mac_known: bool,
    filter: Filter,
    is_link_up: bool,
    is_announcing: bool,
    /// Pairs of queues that the driver uses.
    pairs: u16,
    /// Data queues that are enabled.
    enabled: Bits,
    /// What was switched off, of [`OFFLOADS`].
    off: Features,
    wishes: Wishes,
    steering: Steering,
}

impl Control {
    /// A device that was just reset. It takes all the memory that it will ever need.
    ///
    /// # Errors
    /// What is wrong with the configuration.
    pub fn new(config: ControlConfig) -> Result<Self, ConfigError> {
        config.check()?;
        let queues = 2 * usize::from(config.pairs);
        let mut control = Self {
            config,
            features: Features::default(),
            mac: config.mac,
            is_mac_known: false,
            filter: Filter::new(config.addresses),
            is_link_up: true,
            is_announcing: false,
            pairs: config.pairs,
            enabled: Bits::new(queues),
            off: Features::default(),
            wishes: Wishes::new(queues),
            steering: Steering::new(config.hashing),
        };
        control.reset();
        Ok(control)
    }

    /// Forgets what the driver said and what was negotiated. Whether the link is up remains.
    pub fn reset(&mut self) {
        self.negotiated(Features::default());
    }

    /// Begins anew with these features: no filter, nothing hashed, every queue enabled, every
    /// offload on, and one pair of queues in use, or every one if there is no control queue to say
    /// so (NET-046).
    pub fn negotiated(&mut self, features: Features) {
        self.features = features;
        self.mac = self.config.mac;
        self.is_mac_known = features.has(Features::MAC);
        self.filter.clear(); // NET-040
        self.is_announcing = false;
        // Without a control queue the front-end has it, and enables what is used.
        let is_told = features.has(Features::CTRL_VQ);
        self.pairs = if is_told { 1 } else { self.existing_pairs() };
        self.enabled.fill(true);
        self.off = Features::default();
        self.wishes.clear();
        self.steering.clear();
    }

    /// What the device is like.
    #[must_use]
    pub const fn config(&self) -> &ControlConfig {
        &self.config
    }

    /// What was negotiated. The length of headers follows from it, whatever was switched off.
    #[must_use]
    pub const fn features(&self) -> Features {
        self.features
    }

    /// What was negotiated and is on: what frames for the driver may have.
    #[must_use]
    pub const fn offloads(&self) -> Features {
        self.features.without(self.off)
    }

    /// The address of the driver.
    #[must_use]
    pub const fn mac(&self) -> Mac {
        self.mac
    }

    /// Pairs of queues that the driver uses: at least 1, and no more than there are. With a table
    /// frames may go to receive queues behind them ([`steer`](Self::steer)).
    #[must_use]
    pub const fn pairs(&self) -> u16 {
        self.pairs
    }

    /// What the driver wishes for a queue; none when that is no data queue.
    #[must_use]
    pub fn coalescing(&self, queue: u16) -> Option<Coalescing> {
        self.wishes.get(queue)
    }

    /// Says whether the link is up. `true`: that is new, and the driver has to be notified of a
    /// change of the config space.
    pub const fn set_link(&mut self, is_up: bool) -> bool {
        let is_new = self.is_link_up != is_up;
        self.is_link_up = is_up;
        is_new
    }

    /// Asks the driver to announce itself, if it can be asked and can answer. `true`: it was not
    /// asked before, and has to be notified of a change of the config space.
    pub const fn announce(&mut self) -> bool {
        let needs = Features::from_bits(Features::CTRL_VQ.bits() | Features::GUEST_ANNOUNCE.bits());
        let is_new = self.features.has(needs) && !self.is_announcing;
        self.is_announcing |= is_new;
        is_new
    }

    /// Says whether a data queue is enabled: not while it is reset, or disabled by the front-end.
    /// One that is enabled again has the wishes that count for all (DC-145).
    pub fn set_enabled(&mut self, queue: u16, is_enabled: bool) {
        if is_enabled && !self.enabled.has(queue) {
            self.wishes.begin(queue);
        }
        self.enabled.set(queue, is_enabled);
    }

    /// What the driver reads, as of now.
    #[must_use]
    pub fn config_space(&self) -> ConfigSpace {
        let hashing = self.config.hashing;
        let up = if self.is_link_up { status::LINK_UP } else { 0 };
        let announce = if self.is_announcing { status::ANNOUNCE } else { 0 };
        ConfigSpace {
            mac: self.mac,
            status: up | announce,
            max_virtqueue_pairs: self.config.pairs,
            mtu: self.config.mtu.unwrap_or(0),
            speed: self.config.speed,
            duplex: self.config.duplex.byte(),
            rss_max_key_size: hashing.map_or(0, |it| it.key_max),
            rss_max_indirection_table_length: hashing.map_or(0, |it| it.table_max),
            supported_hash_types: hashing.map_or(0, |it| it.types),
            supported_tunnel_types: 0,
        }
    }

    /// The driver wrote to the config space, of which every field is read-only: nothing comes of
    /// it (NET-053).
    pub const fn write_config(&mut self, _offset: u64, _bytes: &[u8]) {}

    /// The driver receives this frame (NET-042, NET-044, DC-141).
    #[must_use]
    pub fn accepts(&self, frame: &[u8]) -> bool {
        if !self.features.has(Features::CTRL_VQ) || self.filter.has_mode(rx::PROMISC) {
            return true;
        }
        if self.features.has(Features::CTRL_VLAN) && !self.filter.accepts_vlan(frame) {
            return false;
        }
        if !self.features.has(Features::CTRL_RX) {
            return true;
        }
        let own = self.is_mac_known.then_some(self.mac);
        frame.first_chunk().is_some_and(|mac| self.filter.accepts_address(own, Mac(*mac)))
    }

    /// Where a frame for the driver goes, and its hash (NET-046, NET-049, DC-146 to DC-148).
    #[must_use]
    pub fn steer(&self, frame: &[u8]) -> Steered {
        let queues = Queues { pairs: self.config.pairs, enabled: &self.enabled };
        let hash = self.steering.hash(frame);
        Steered { pair: self.steering.choose(frame, hash, self.pairs, queues), hash }
    }

    /// Handles one command: class, command and data in `command`, and room for what comes behind
    /// the ack in `result`.
    ///
    /// # Errors
    /// Memory of the command is not there. It has had no effect, and may be tried again.
    pub fn handle<S: Source, T: Target>(
        &mut self,
        command: &mut S,
        result: &mut T,
    ) -> Result<Outcome, AccessError> {
        match self.run(command, result) {
            Ok(len) => Ok(Outcome::Done { len }),
            Err(Stop::Refused(error)) => Ok(Outcome::Refused(error)),
            Err(Stop::Access(error)) => Err(error),
        }
    }

    /// The bytes of the result of a command.
    fn run<S: Source, T: Target>(&mut self, source: &mut S, result: &mut T) -> Result<u32, Stop> {
        let [class, command] = array(source)?;
        let feature = feature(class, command).ok_or(ControlError::Unknown { class, command })?;
        if !self.features.has(Features::CTRL_VQ | feature) {
            return Err(ControlError::NotNegotiated { class, command }.into()); // NET-039
        }
        match class {
            class::RX => self.set_mode(command, source)?,
            class::MAC if command == mac::TABLE_SET => self.filter.set_table(source)?,
            class::MAC => self.set_address(source)?,
            class::VLAN => self.set_vlan(command == vlan::ADD, source)?,
            class::ANNOUNCE => self.is_announcing = false, // NET-045
            class::MQ if command == mq::VQ_PAIRS_SET => self.set_pairs(source)?,
            class::MQ if command == mq::HASH_CONFIG => self.steering.configure_hash(source)?,
            class::MQ => {
                let queues = Queues { pairs: self.config.pairs, enabled: &self.enabled };
                self.pairs = self.steering.configure(source, queues)?;
            }
            class::GUEST_OFFLOADS => self.set_offloads(source)?,
            class::HASH_TUNNEL => set_tunnels(source)?,
            class::NOTF_COAL => return self.coalesce(command, source, result),
            _ => return Err(ControlError::Unknown { class, command }.into()), // NET-039
        }
        Ok(0)
    }

    fn set_mode(&mut self, mode: u8, source: &mut impl Source) -> Result<(), Stop> {
        let [value] = array(source)?;
        if value > 1 {
            return Err(ControlError::Mode { value }.into());
        }
        self.filter.set_mode(mode, value == 1);
        Ok(())
    }

    /// NET-041
    fn set_address(&mut self, source: &mut impl Source) -> Result<(), Stop> {
        let mac = Mac(array(source)?);
        if mac.is_group() || mac.is_zero() {
            return Err(ControlError::Address { mac }.into());
        }
        (self.mac, self.is_mac_known) = (mac, true);
        Ok(())
    }

    fn set_vlan(&mut self, is_in: bool, source: &mut impl Source) -> Result<(), Stop> {
        let vlan = u16::from_le_bytes(array(source)?);
        if vlan > VLAN_MAX {
            return Err(ControlError::Vlan { vlan }.into());
        }
        self.filter.set_vlan(vlan, is_in);
        Ok(())
    }

    fn set_pairs(&mut self, source: &mut impl Source) -> Result<(), Stop> {
        let pairs = u16::from_le_bytes(array(source)?);
        let max = self.config.pairs;
        if !(1..=max).contains(&pairs) {
            return Err(ControlError::Pairs { pairs, max }.into()); // NET-047
        }
        self.pairs = pairs;
        self.steering.leave_table();
        Ok(())
    }

    fn set_offloads(&mut self, source: &mut impl Source) -> Result<(), Stop> {
        let bits = u64::from_le_bytes(array(source)?);
        let tunnels = Features::from_bits(u128::from(bits) << TUNNEL_SHIFT & TUNNELS.bits());
        let others = u128::from(bits) & !(TUNNELS.bits() >> TUNNEL_SHIFT);
        let on = tunnels | Features::from_bits(others);
        let negotiated = Features::from_bits(self.features.bits() & OFFLOADS.bits());
        if !negotiated.has(on) {
            return Err(ControlError::Offloads { bits }.into()); // NET-052
        }
        self.off = negotiated.without(on);
        Ok(())
    }

    fn coalesce(
        &mut self,
        command: u8,
        source: &mut impl Source,
        result: &mut impl Target,
    ) -> Result<u32, Stop> {
        if matches!(command, coal::TX_SET | coal::RX_SET) {
            let wish = Coalescing::from(array(source)?);
            self.wishes.set_all(command == coal::TX_SET, wish);
            return Ok(0);
        }
        let [low, high, _, _] = array(source)?;
        let queue = u16::from_le_bytes([low, high]);
        let wish = if command == coal::VQ_SET { Some(array(source)?.into()) } else { None };
        let is_there = queue / 2 < self.existing_pairs() && self.enabled.has(queue);
        let Some(now) = self.wishes.get(queue).filter(|_| is_there) else {
            return Err(ControlError::Queue { queue }.into()); // NET-050
        };
        if let Some(wish) = wish {
            self.wishes.set(queue, wish);
            return Ok(0);
        }
        let (bytes, have) = (now.to_bytes(), result.remaining());
        if have < bytes.len() as u64 {
            return Err(ControlError::NoRoom { need: bytes.len() as u64, have }.into());
        }
        result.write(&bytes)?;
        Ok(8)
    }

    /// Pairs of queues for frames. They come before the control queue (spec §3).
    fn existing_pairs(&self) -> u16 {
        let has_many = self.features.has_any(Features::MQ | Features::RSS);
        if has_many { self.config.pairs } else { 1 }
    }
}

/// No device here hashes what is in a tunnel.
fn set_tunnels(source: &mut impl Source) -> Result<(), Stop> {
    match u32::from_le_bytes(array(source)?) {
        0 => Ok(()),
        types => Err(ControlError::TunnelTypes { types }.into()),
    }
}

/// What has to be negotiated for a command; none when there is no such command.
const fn feature(class: u8, command: u8) -> Option<Features> {
    Some(match (class, command) {
        (class::RX, rx::PROMISC | rx::ALLMULTI) | (class::MAC, mac::TABLE_SET) => Features::CTRL_RX,
        (class::RX, rx::ALLUNI | rx::NOMULTI | rx::NOUNI | rx::NOBCAST) => Features::CTRL_RX_EXTRA,
        (class::MAC, mac::ADDR_SET) => Features::CTRL_MAC_ADDR,
        (class::VLAN, vlan::ADD | vlan::DEL) => Features::CTRL_VLAN,
        (class::ANNOUNCE, 0) => Features::GUEST_ANNOUNCE,
        (class::MQ, mq::VQ_PAIRS_SET) => Features::MQ,
        (class::MQ, mq::RSS_CONFIG) => Features::RSS,
        (class::MQ, mq::HASH_CONFIG) => Features::HASH_REPORT,
        (class::HASH_TUNNEL, 0) => Features::HASH_TUNNEL,
        (class::GUEST_OFFLOADS, 0) => Features::CTRL_GUEST_OFFLOADS,
        (class::NOTF_COAL, coal::TX_SET | coal::RX_SET) => Features::NOTF_COAL,
        (class::NOTF_COAL, coal::VQ_SET | coal::VQ_GET) => Features::VQ_NOTF_COAL,
        _ => return None,
    })
}
