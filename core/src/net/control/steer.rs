//! Which receive queue a frame goes to (NET-046, NET-048, NET-049, DC-146, DC-148).

use super::bits::Bits;
use super::config::Hashing;
use super::error::{ControlError, Stop};
use super::hash::{self, KEY_LEN, Key};
use super::source::Source;
use super::{HASH_TYPES, array};
use crate::net::header::Hash;

/// Where a frame goes, and its hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Steered {
    /// The pair of queues, from 0 on. None: the frame is dropped.
    pub pair: Option<u16>,
    /// What the header in front of the frame says, if the driver asks for it.
    pub hash: Option<Hash>,
}

/// What spreads frames when the driver leaves it to the device.
const SPREAD: Key = [
    0xbe, 0xac, 0x01, 0xfa, 0x6a, 0x42, 0xb7, 0x3b, 0x80, 0x30, 0xf2, 0x0c, 0x77, 0xcb, 0x2d, 0xa3,
    0xae, 0x7b, 0x30, 0xb4, 0xd0, 0xca, 0x2b, 0xcb, 0x43, 0xa3, 0x8f, 0xb0, 0x41, 0x67, 0x25, 0x3d,
    0x25, 0x5b, 0x0e, 0xc2, 0x6d, 0x5a, 0x56, 0xda,
];

/// The entries of a table, of a size that is chosen once.
#[derive(Clone, Debug)]
struct Table {
    /// The first `len` count: a power of two, or none.
    entries: Box<[u16]>,
    len: usize,
    /// For frames without a hash.
    unclassified: u16,
}

impl Table {
    fn new(len: u16) -> Self {
        Self { entries: vec![0; len.into()].into(), len: 0, unclassified: 0 }
    }

    fn entries(&self) -> &[u16] {
        self.entries.get(..self.len).unwrap_or_default()
    }

    /// The pair for a frame; none when there is no table.
    fn pair(&self, hash: Option<Hash>) -> Option<u16> {
        let mask = self.len.checked_sub(1)?;
        let Some(Hash { value, .. }) = hash else { return Some(self.unclassified) };
        self.entries.get(usize::try_from(value).unwrap_or(0) & mask).copied()
    }

    /// Reads mask, pair for the rest, and entries.
    fn fill(&mut self, source: &mut impl Source, queues: Queues<'_>) -> Result<(), Stop> {
        let mask = u16::from_le_bytes(array(source)?);
        let (len, max) = (usize::from(mask) + 1, self.entries.len());
        if !len.is_power_of_two() || len > max {
            return Err(ControlError::TableSize { mask, max }.into()); // NET-048
        }
        self.unclassified = queues.read(source)?;
        let (need, have) = (2 * len as u64, source.remaining());
        if need > have {
            return Err(ControlError::Short { need, have }.into()); // NET-038
        }
        for entry in self.entries.iter_mut().take(len) {
            *entry = queues.read(source)?;
        }
        self.len = len;
        Ok(())
    }
}

impl PartialEq for Table {
    /// What is behind the entries that count does not matter.
    fn eq(&self, other: &Self) -> bool {
        (self.entries(), self.unclassified) == (other.entries(), other.unclassified)
    }
}

impl Eq for Table {}

/// The queues that frames may go to.
#[derive(Clone, Copy)]
pub(super) struct Queues<'a> {
    /// Pairs that there are.
    pub(super) pairs: u16,
    /// Which queues are enabled.
    pub(super) enabled: &'a Bits,
}

impl Queues<'_> {
    /// The receive queue of a pair is there and enabled.
    fn has(self, pair: u16) -> bool {
        pair < self.pairs && self.enabled.has(pair << 1)
    }

    /// Reads the number of a pair of which the receive queue is enabled.
    fn read(self, source: &mut impl Source) -> Result<u16, Stop> {
        let pair = u16::from_le_bytes(array(source)?);
        if self.has(pair) { Ok(pair) } else { Err(ControlError::Steer { pair }.into()) } // NET-048
    }
}

/// How frames are hashed and distributed.
#[derive(Clone, Debug)]
pub(super) struct Steering {
    limits: Hashing,
    types: u32,
    key: Key,
    table: Table,
    /// Where a table is read to: it may turn out bad at its end.
    spare: Table,
}

impl PartialEq for Steering {
    /// What is in the spare table does not matter.
    fn eq(&self, other: &Self) -> bool {
        (self.limits, self.types, self.key, &self.table)
            == (other.limits, other.types, other.key, &other.table)
    }
}

impl Eq for Steering {}

impl Steering {
    pub(super) fn new(limits: Option<Hashing>) -> Self {
        let limits = limits.unwrap_or(Hashing { key_max: 0, table_max: 0, types: 0 });
        let (table, spare) = (Table::new(limits.table_max), Table::new(limits.table_max));
        Self { limits, types: 0, key: [0; KEY_LEN], table, spare }
    }

    /// As after a reset: nothing is hashed, and the device distributes.
    pub(super) fn clear(&mut self) {
        (self.types, self.key) = (0, [0; KEY_LEN]);
        self.leave_table();
    }

    /// The device distributes again.
    pub(super) const fn leave_table(&mut self) {
        (self.table.len, self.table.unclassified) = (0, 0);
    }

    /// Takes an `RSS_CONFIG`; gives the pairs of queues that the driver sends with.
    pub(super) fn configure(
        &mut self,
        source: &mut impl Source,
        queues: Queues<'_>,
    ) -> Result<u16, Stop> {
        let types = self.types(source)?;
        self.spare.fill(source, queues)?;
        let (pairs, max) = (u16::from_le_bytes(array(source)?), queues.pairs);
        if !(1..=max).contains(&pairs) {
            return Err(ControlError::Transmit { pairs, max }.into());
        }
        let key = self.key(source)?;
        (self.types, self.key) = (types, key);
        core::mem::swap(&mut self.table, &mut self.spare);
        Ok(pairs)
    }

    /// Takes a `HASH_CONFIG`. Where frames go stays as it is.
    pub(super) fn configure_hash(&mut self, source: &mut impl Source) -> Result<(), Stop> {
        let types = self.types(source)?;
        // Some drivers have something in these fields.
        let [_, _, _, _, _, _, _, _] = array(source)?;
        let key = self.key(source)?;
        (self.types, self.key) = (types, key);
        Ok(())
    }

    /// Reads kinds of hash.
    fn types(&self, source: &mut impl Source) -> Result<u32, Stop> {
        let (types, supported) = (u32::from_le_bytes(array(source)?), self.limits.types);
        if types & !supported != 0 {
            return Err(ControlError::HashTypes { types, supported }.into());
        }
        Ok(types)
    }

    /// Reads the length of a key and what matters of it.
    fn key(&self, source: &mut impl Source) -> Result<Key, Stop> {
        let [len] = array(source)?;
        let max = self.limits.key_max;
        if len > max {
            return Err(ControlError::Key { len, max }.into());
        }
        let (need, have) = (u64::from(len), source.remaining());
        let mut key = [0; KEY_LEN];
        let front = key.get_mut(..KEY_LEN.min(len.into()));
        let Some(bytes) = front.filter(|_| need <= have) else {
            return Err(ControlError::Short { need, have }.into()); // NET-038
        };
        source.read_exact(bytes)?;
        Ok(key)
    }

    /// The hash that a driver asked for.
    pub(super) fn hash(&self, frame: &[u8]) -> Option<Hash> {
        hash::of(frame, self.types, &self.key)
    }

    /// Chooses the pair for a frame with this hash. `pairs` are in use.
    pub(super) fn choose(
        &self,
        frame: &[u8],
        hash: Option<Hash>,
        pairs: u16,
        queues: Queues<'_>,
    ) -> Option<u16> {
        if let Some(pair) = self.table.pair(hash) {
            return queues.has(pair).then_some(pair); // NET-049
        }
        let first = match pairs {
            0 | 1 => 0,
            _ => hash::of(frame, HASH_TYPES, &SPREAD).map_or(0, |it| it.value % u32::from(pairs)),
        };
        let first = u16::try_from(first).unwrap_or(0);
        // The next one that is enabled, around the circle (NET-049).
        (first..pairs).chain(0..first).find(|pair| queues.has(*pair))
    }
}
