//! Which frames a driver receives (NET-042 to NET-044, DC-141).

use super::bits::Bits;
use super::error::{ControlError, Stop};
use super::source::Source;
use super::{array, rx};
use crate::net::Mac;
use crate::net::ethernet::{HEADER_LEN, ether_type};

/// VLANs that there can be.
const VLANS: usize = 4096;

/// Bytes of an address.
const MAC_LEN: u64 = 6;

/// One list of addresses, of a size that is chosen once.
#[derive(Clone, Debug)]
struct List {
    /// The first `len` count. They are sorted.
    entries: Box<[Mac]>,
    len: usize,
    /// The driver gave more than there is room for: nobody is left out (NET-043).
    is_open: bool,
}

impl List {
    fn new(len: u16) -> Self {
        Self { entries: vec![Mac::ZERO; len.into()].into(), len: 0, is_open: false }
    }

    const fn clear(&mut self) {
        (self.len, self.is_open) = (0, false);
    }

    fn entries(&self) -> &[Mac] {
        self.entries.get(..self.len).unwrap_or_default()
    }

    fn has(&self, mac: Mac) -> bool {
        self.is_open || self.entries().binary_search(&mac).is_ok()
    }

    /// Reads a number and so many addresses. What there is no room for is not read.
    fn fill(&mut self, source: &mut impl Source) -> Result<(), Stop> {
        self.clear();
        let count = u32::from_le_bytes(array(source)?);
        let (need, have) = (u64::from(count) * MAC_LEN, source.remaining());
        if need > have {
            return Err(ControlError::Table { count, have }.into()); // NET-043
        }
        let room = usize::try_from(count).ok().and_then(|count| self.entries.get_mut(..count));
        let Some(entries) = room else {
            self.is_open = true;
            source.skip(need);
            return Ok(());
        };
        for entry in &mut *entries {
            *entry = Mac(array(source)?);
        }
        entries.sort_unstable();
        self.len = entries.len();
        Ok(())
    }
}

impl PartialEq for List {
    /// What is behind the entries that count does not matter.
    fn eq(&self, other: &Self) -> bool {
        (self.entries(), self.is_open) == (other.entries(), other.is_open)
    }
}

impl Eq for List {}

/// Both lists of a `MAC_TABLE_SET`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Table {
    unicast: List,
    multicast: List,
}

impl Table {
    fn new(len: u16) -> Self {
        Self { unicast: List::new(len), multicast: List::new(len) }
    }
}

/// What a driver wants to receive.
#[derive(Clone, Debug)]
pub(super) struct Filter {
    table: Table,
    /// Where a table is read to: it may turn out bad at its end.
    spare: Table,
    /// The modes that are on: bit numbers are their commands.
    modes: u8,
    vlans: Bits,
}

impl PartialEq for Filter {
    /// What is in the spare table does not matter.
    fn eq(&self, other: &Self) -> bool {
        (&self.table, self.modes, &self.vlans) == (&other.table, other.modes, &other.vlans)
    }
}

impl Eq for Filter {}

impl Filter {
    pub(super) fn new(len: u16) -> Self {
        let (table, spare) = (Table::new(len), Table::new(len));
        Self { table, spare, modes: 0, vlans: Bits::new(VLANS) }
    }

    /// As after a reset: no mode, no address, no VLAN (NET-040).
    pub(super) fn clear(&mut self) {
        self.modes = 0;
        self.table.unicast.clear();
        self.table.multicast.clear();
        self.vlans.fill(false);
    }

    /// A mode of [`rx`] is on.
    pub(super) const fn has_mode(&self, mode: u8) -> bool {
        self.modes >> mode & 1 != 0
    }

    pub(super) const fn set_mode(&mut self, mode: u8, is_on: bool) {
        let bit = 1 << mode;
        self.modes = if is_on { self.modes | bit } else { self.modes & !bit };
    }

    pub(super) fn set_vlan(&mut self, vlan: u16, is_in: bool) {
        self.vlans.set(vlan, is_in);
    }

    /// Reads both lists. The old ones stay when anything is wrong.
    pub(super) fn set_table(&mut self, source: &mut impl Source) -> Result<(), Stop> {
        self.spare.unicast.fill(source)?;
        self.spare.multicast.fill(source)?;
        core::mem::swap(&mut self.table, &mut self.spare);
        Ok(())
    }

    /// NET-042: a frame for this station. `own` is the driver's address, if it is known.
    pub(super) fn accepts_address(&self, own: Option<Mac>, mac: Mac) -> bool {
        if mac == Mac::BROADCAST {
            !self.has_mode(rx::NOBCAST)
        } else if mac.is_group() {
            let is_wanted = self.has_mode(rx::ALLMULTI) || self.table.multicast.has(mac);
            is_wanted && !self.has_mode(rx::NOMULTI)
        } else {
            let is_wanted = own.is_none_or(|own| own == mac)
                || self.has_mode(rx::ALLUNI)
                || self.table.unicast.has(mac);
            is_wanted && !self.has_mode(rx::NOUNI)
        }
    }

    /// NET-044: a frame without a VLAN, or of one that is listed.
    pub(super) fn accepts_vlan(&self, frame: &[u8]) -> bool {
        let Some((front, rest)) = frame.split_at_checked(HEADER_LEN) else { return false };
        let [.., a, b] = *front else { return false };
        if u16::from_be_bytes([a, b]) != ether_type::VLAN {
            return true;
        }
        let Some(control) = rest.first_chunk() else { return false };
        let vlan = u16::from_be_bytes(*control) & 0xfff;
        // A tag of VLAN 0 has only a priority.
        vlan == 0 || self.vlans.has(vlan)
    }
}
