//! What a driver tells its device on the control queue (§3.3, §3.6, NET-020, NET-021, NET-036 to
//! NET-054, DC-140 to DC-149).

mod hash;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashSet};

use crate::Id;

/// What a device is like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The address of the driver.
    pub mac: [u8; 6],
    /// The `mtu` field; 0 when there is none.
    pub mtu: u16,
    /// Pairs of queues.
    pub pairs: u16,
    /// Addresses kept of each list.
    pub addresses: usize,
    /// The `speed` field.
    pub speed: u32,
    /// The `duplex` field.
    pub duplex: u8,
    /// Longest key, longest table and kinds of hash.
    pub hashing: Option<(u8, u16, u32)>,
}

/// A device and what its driver said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    config: Config,
    bits: u128,
    mac: [u8; 6],
    /// The driver was told its address, or told it.
    knows: bool,
    modes: [bool; 6],
    unicast: HashSet<[u8; 6]>,
    multicast: HashSet<[u8; 6]>,
    /// More came than is kept.
    over: [bool; 2],
    vlans: HashSet<u16>,
    up: bool,
    announcing: bool,
    pairs: u16,
    disabled: HashSet<u16>,
    /// Feature bits of offloads that are off.
    off: HashSet<u32>,
    /// Packets and microseconds for all receive and all transmit queues.
    all: [(u32, u32); 2],
    /// The same for single queues.
    single: BTreeMap<u16, (u32, u32)>,
    /// Kinds of hash that are on.
    types: u32,
    key: Vec<u8>,
    /// Where frames without a hash go, and the others.
    table: Option<(u16, Vec<u16>)>,
}

/// What came of a command: bytes of the result, or the rule that it breaks.
pub type Answer = Result<Vec<u8>, Id>;

/// Takes `count` bytes from the front.
fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Result<&'a [u8], Id> {
    if bytes.len() < count {
        return Err(Id::Net(38));
    }
    let (front, rest) = bytes.split_at(count);
    *bytes = rest;
    Ok(front)
}

/// A little-endian number.
fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |sum, byte| sum * 256 + u64::from(*byte))
}

fn small(bytes: &[u8]) -> u16 {
    u16::try_from(number(bytes)).unwrap_or(u16::MAX)
}

fn wide(bytes: &[u8]) -> u32 {
    u32::try_from(number(bytes)).unwrap_or(u32::MAX)
}

/// One list of a table: its addresses, and whether they were too many.
fn list(bytes: &mut &[u8], room: usize) -> Result<(HashSet<[u8; 6]>, bool), Id> {
    let count = number(take(bytes, 4)?);
    if count * 6 > bytes.len() as u64 {
        return Err(Id::Net(43));
    }
    let mut all = Vec::new();
    for _ in 0..count {
        let mut address = [0; 6];
        address.copy_from_slice(take(bytes, 6)?);
        all.push(address);
    }
    if all.len() > room {
        Ok((HashSet::new(), true))
    } else {
        Ok((all.into_iter().collect(), false))
    }
}

/// The feature bits of the `GUEST_OFFLOADS` command, and its own bits.
const OFFLOADS: [(u32, u32); 9] =
    [(1, 1), (7, 7), (8, 8), (9, 9), (10, 10), (54, 54), (55, 55), (65, 46), (66, 47)];

/// The feature bit that a command belongs to, beside `CTRL_VQ`.
fn feature(class: u8, command: u8) -> Option<u32> {
    Some(match (class, command) {
        (0 | 1, 0) | (0, 1) => 18,
        (0, 2..=5) => 20,
        (1, 1) => 23,
        (2, 0 | 1) => 19,
        (3, 0) => 21,
        (4, 0) => 22,
        (4, 1) => 60,
        (4, 2) => 57,
        (7, 0) => 51,
        (5, 0) => 2,
        (6, 0 | 1) => 53,
        (6, 2 | 3) => 52,
        _ => return None,
    })
}

impl Device {
    /// A device that was reset.
    ///
    /// # Errors
    /// The rule that its configuration breaks.
    pub fn new(config: Config) -> Result<Self, Id> {
        if config.mac[0] % 2 == 1 || config.mac == [0; 6] {
            return Err(Id::Dc(149));
        }
        if config.mtu != 0 && config.mtu < 68 {
            return Err(Id::Net(20));
        }
        if config.pairs < 1 || config.pairs > 0x8000 {
            return Err(Id::Net(21));
        }
        if config.speed > 0x7fff_ffff && config.speed != 0xffff_ffff {
            return Err(Id::Dc(149));
        }
        if let Some((key, table, types)) = config.hashing
            && (key < 40 || table < 128 || types > 0x1ff)
        {
            return Err(Id::Dc(149));
        }
        let mut device = Self {
            bits: 0,
            mac: config.mac,
            knows: false,
            modes: [false; 6],
            unicast: HashSet::new(),
            multicast: HashSet::new(),
            over: [false; 2],
            vlans: HashSet::new(),
            up: true,
            announcing: false,
            pairs: config.pairs,
            disabled: HashSet::new(),
            off: HashSet::new(),
            all: [(0, 0); 2],
            single: BTreeMap::new(),
            types: 0,
            key: vec![],
            table: None,
            config,
        };
        device.negotiated(0);
        Ok(device)
    }

    /// A reset, and then these features.
    pub fn negotiated(&mut self, bits: u128) {
        self.bits = bits;
        self.mac = self.config.mac;
        self.knows = self.has(5);
        self.modes = [false; 6];
        self.unicast.clear();
        self.multicast.clear();
        self.over = [false; 2];
        self.vlans.clear();
        self.announcing = false;
        self.pairs = if self.has(17) { 1 } else { self.existing() };
        self.disabled.clear();
        self.off.clear();
        self.all = [(0, 0); 2];
        self.single.clear();
        self.types = 0;
        self.key.clear();
        self.table = None;
    }

    /// Pairs of queues that there are.
    fn existing(&self) -> u16 {
        if self.has(22) || self.has(60) { self.config.pairs } else { 1 }
    }

    fn has(&self, bit: u32) -> bool {
        self.bits / (1 << bit) % 2 == 1
    }

    /// The features that are on.
    #[must_use]
    pub fn offloads(&self) -> u128 {
        self.off.iter().fold(self.bits, |bits, off| bits - (1 << off))
    }

    /// Pairs of queues that are used.
    #[must_use]
    pub fn pairs(&self) -> u16 {
        self.pairs
    }

    /// What is wished for a data queue: packets and microseconds.
    #[must_use]
    pub fn coalescing(&self, queue: u16) -> Option<(u32, u32)> {
        if u32::from(queue) >= 2 * u32::from(self.config.pairs) {
            return None;
        }
        let all = self.all[usize::from(queue % 2)];
        Some(self.single.get(&queue).copied().unwrap_or(all))
    }

    /// Whether the link is up; says whether that is new.
    pub fn link(&mut self, up: bool) -> bool {
        let before = std::mem::replace(&mut self.up, up);
        before != up
    }

    /// Asks for an announcement; says whether that is new.
    pub fn announce(&mut self) -> bool {
        let can = self.has(17) && self.has(21);
        let is_new = can && !self.announcing;
        self.announcing = self.announcing || can;
        is_new
    }

    /// Enables or disables a queue.
    pub fn enable(&mut self, queue: u16, on: bool) {
        if !on {
            self.disabled.insert(queue);
        } else if self.disabled.remove(&queue) {
            self.single.remove(&queue);
        }
    }

    /// The 28 bytes of §3.3.
    #[must_use]
    pub fn config_space(&self) -> Vec<u8> {
        let (key, table, types) = self.config.hashing.unwrap_or((0, 0, 0));
        let status = u16::from(self.up) + 2 * u16::from(self.announcing);
        let mut bytes = self.mac.to_vec();
        bytes.extend(status.to_le_bytes());
        bytes.extend(self.config.pairs.to_le_bytes());
        bytes.extend(self.config.mtu.to_le_bytes());
        bytes.extend(self.config.speed.to_le_bytes());
        bytes.push(self.config.duplex);
        bytes.push(key);
        bytes.extend(table.to_le_bytes());
        bytes.extend(types.to_le_bytes());
        bytes.extend([0; 4]);
        bytes
    }

    /// One command. `room` is what is writable behind the ack.
    ///
    /// # Errors
    /// The first rule that it breaks. Nothing has changed then.
    pub fn command(&mut self, bytes: &[u8], room: u64) -> Answer {
        let before = self.clone();
        let answer = self.run(bytes, room);
        if answer.is_err() {
            *self = before;
        }
        answer
    }

    fn run(&mut self, mut data: &[u8], room: u64) -> Answer {
        let head = take(&mut data, 2)?;
        let (class, command) = (head[0], head[1]);
        let feature = feature(class, command).ok_or(Id::Net(39))?;
        if !self.has(17) || !self.has(feature) {
            return Err(Id::Net(39));
        }
        match class {
            0 => {
                let value = take(&mut data, 1)?[0];
                if value > 1 {
                    return Err(Id::Dc(142));
                }
                self.modes[usize::from(command)] = value == 1;
            }
            1 if command == 0 => {
                let (unicast, first) = list(&mut data, self.config.addresses)?;
                let (multicast, second) = list(&mut data, self.config.addresses)?;
                (self.unicast, self.multicast, self.over) = (unicast, multicast, [first, second]);
            }
            1 => {
                let address = take(&mut data, 6)?;
                if address[0] % 2 == 1 || address == [0; 6] {
                    return Err(Id::Dc(142));
                }
                self.mac.copy_from_slice(address);
                self.knows = true;
            }
            2 => {
                let vlan = small(take(&mut data, 2)?);
                if vlan > 4094 {
                    return Err(Id::Dc(142));
                }
                if command == 0 {
                    self.vlans.insert(vlan)
                } else {
                    self.vlans.remove(&vlan)
                };
            }
            3 => self.announcing = false,
            4 if command == 1 => self.distribute(data)?,
            4 if command == 2 => {
                let types = self.kinds(&mut data)?;
                take(&mut data, 8)?;
                (self.key, self.types) = (self.read_key(&mut data)?, types);
            }
            4 => {
                let pairs = small(take(&mut data, 2)?);
                if pairs == 0 || pairs > self.config.pairs {
                    return Err(Id::Net(47));
                }
                self.pairs = pairs;
                self.table = None;
            }
            7 => {
                if number(take(&mut data, 4)?) != 0 {
                    return Err(Id::Dc(146));
                }
            }
            5 => self.offload(number(take(&mut data, 8)?))?,
            _ => return self.coalesce(command, data, room),
        }
        Ok(vec![])
    }

    fn kinds(&self, data: &mut &[u8]) -> Result<u32, Id> {
        let types = wide(take(data, 4)?);
        let (_, _, supported) = self.config.hashing.unwrap_or((0, 0, 0));
        if (0..32).any(|bit| types >> bit & 1 > supported >> bit & 1) {
            return Err(Id::Dc(146));
        }
        Ok(types)
    }

    fn read_key(&self, data: &mut &[u8]) -> Result<Vec<u8>, Id> {
        let len = take(data, 1)?[0];
        let (longest, _, _) = self.config.hashing.unwrap_or((0, 0, 0));
        if len > longest {
            return Err(Id::Dc(146));
        }
        Ok(take(data, len.into())?.to_vec())
    }

    /// A queue that frames can go to.
    fn receives(&self, pair: u16) -> bool {
        pair < self.config.pairs && !self.disabled.contains(&(2 * pair))
    }

    fn distribute(&mut self, mut data: &[u8]) -> Result<(), Id> {
        let types = self.kinds(&mut data)?;
        let size = number(take(&mut data, 2)?) + 1;
        let (_, longest, _) = self.config.hashing.unwrap_or((0, 0, 0));
        let powers: Vec<u64> = (0..17).map(|power| 1 << power).collect();
        if !powers.contains(&size) || size > longest.into() {
            return Err(Id::Net(48));
        }
        let rest = small(take(&mut data, 2)?);
        if !self.receives(rest) {
            return Err(Id::Net(48));
        }
        let mut table = Vec::new();
        let mut entries = take(&mut data, usize::try_from(2 * size).unwrap_or(usize::MAX))?;
        while !entries.is_empty() {
            let pair = small(take(&mut entries, 2)?);
            if !self.receives(pair) {
                return Err(Id::Net(48));
            }
            table.push(pair);
        }
        let pairs = small(take(&mut data, 2)?);
        if pairs == 0 || pairs > self.config.pairs {
            return Err(Id::Dc(146));
        }
        (self.key, self.types) = (self.read_key(&mut data)?, types);
        (self.pairs, self.table) = (pairs, Some((rest, table)));
        Ok(())
    }

    /// Value and kind of the hash of a frame.
    #[must_use]
    pub fn hash(&self, frame: &[u8]) -> Option<(u32, u16)> {
        hash::hash(frame, self.types, &self.key)
    }

    /// The pairs of queues that a frame may go to; without one it is dropped.
    #[must_use]
    pub fn places(&self, frame: &[u8]) -> Vec<u16> {
        let Some((rest, table)) = &self.table else {
            return (0..self.pairs).filter(|pair| self.receives(*pair)).collect();
        };
        let place = match self.hash(frame) {
            Some((value, _)) => table[usize::try_from(value).unwrap_or(0) % table.len()],
            None => *rest,
        };
        if self.receives(place) { vec![place] } else { vec![] }
    }

    fn offload(&mut self, mut bits: u64) -> Result<(), Id> {
        let mut off = HashSet::new();
        for (feature, bit) in OFFLOADS {
            let on = bits / (1 << bit) % 2 == 1;
            if on && !self.has(feature) {
                return Err(Id::Net(52));
            }
            if on {
                bits -= 1 << bit;
            } else if self.has(feature) {
                off.insert(feature);
            }
        }
        if bits != 0 {
            return Err(Id::Net(52));
        }
        self.off = off;
        Ok(())
    }

    fn coalesce(&mut self, command: u8, mut data: &[u8], room: u64) -> Answer {
        if command < 2 {
            let (packets, usecs) = (take(&mut data, 4)?, take(&mut data, 4)?);
            let kind = u16::from(command == 0);
            self.all[usize::from(kind)] = (wide(packets), wide(usecs));
            self.single.retain(|queue, _| queue % 2 != kind);
            return Ok(vec![]);
        }
        let queue = small(&take(&mut data, 4)?[..2]);
        let mut values = None;
        if command == 2 {
            let (packets, usecs) = (take(&mut data, 4)?, take(&mut data, 4)?);
            values = Some((wide(packets), wide(usecs)));
        }
        if u32::from(queue) >= 2 * u32::from(self.existing()) || self.disabled.contains(&queue) {
            return Err(Id::Net(50));
        }
        if let Some(values) = values {
            self.single.insert(queue, values);
            return Ok(vec![]);
        }
        if room < 8 {
            return Err(Id::Dc(145));
        }
        let (packets, usecs) = self.coalescing(queue).unwrap_or((0, 0));
        Ok([packets.to_le_bytes(), usecs.to_le_bytes()].concat())
    }

    /// Whether the driver receives a frame (NET-042, NET-044).
    #[must_use]
    pub fn accepts(&self, frame: &[u8]) -> bool {
        let [promisc, allmulti, alluni, nomulti, nouni, nobcast] = self.modes;
        if !self.has(17) || promisc {
            return true;
        }
        if self.has(19) {
            if frame.len() < 14 {
                return false;
            }
            if frame[12] == 0x81 && frame[13] == 0 {
                if frame.len() < 16 {
                    return false;
                }
                let vlan = (u16::from(frame[14]) * 256 + u16::from(frame[15])) % 4096;
                if vlan != 0 && !self.vlans.contains(&vlan) {
                    return false;
                }
            }
        }
        if !self.has(18) {
            return true;
        }
        if frame.len() < 6 {
            return false;
        }
        let mut address = [0; 6];
        address.copy_from_slice(&frame[..6]);
        if address == [0xff; 6] {
            !nobcast
        } else if address[0] % 2 == 1 {
            !nomulti && (allmulti || self.over[1] || self.multicast.contains(&address))
        } else {
            let own = !self.knows || address == self.mac;
            !nouni && (own || alluni || self.over[0] || self.unicast.contains(&address))
        }
    }
}
