//! Where the bytes of a range are.

use super::{Access, AddressKind, Iotlb, MemoryError, MemoryTable, Miss, Space};
use crate::rule::Rule;

/// Bytes that lie next to each other in one region.
///
/// It is true as long as [`MemoryTable::generation`] stays the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Location {
    /// Index in [`MemoryTable::slots`].
    pub slot: usize,
    /// First byte, from the start of the region.
    pub offset: u64,
    /// Bytes; they end inside the region.
    pub len: u64,
}

/// How the addresses of a range become locations.
#[derive(Clone, Copy, Debug)]
pub(super) enum Route<'a> {
    /// They are addresses of a region.
    Direct(Space),
    /// They are I/O virtual addresses, for this access (VU-146).
    Iotlb(&'a Iotlb, Access),
}

impl Route<'_> {
    /// What of the `len` bytes from `address` lies next to each other. `None` when the first byte
    /// is nowhere; for 0 bytes it still has to be somewhere (MT08).
    #[inline]
    fn reach<B>(self, table: &MemoryTable<B>, address: u64, len: u64) -> Option<Location> {
        match self {
            Self::Direct(space) => table.reach(space, address, len),
            Self::Iotlb(iotlb, access) => iotlb.reach(table, address, len, access),
        }
    }
}

/// The pieces of a range in order. Together they have all of its bytes; a range of 0 bytes has no
/// pieces. Made by [`MemoryTable::pieces`], [`Iotlb::translate`] and [`resolve`].
#[derive(Debug)]
pub struct Pieces<'a, B> {
    table: &'a MemoryTable<B>,
    route: Route<'a>,
    address: u64,
    left: u64,
}

impl<B> Clone for Pieces<'_, B> {
    fn clone(&self) -> Self {
        Self { ..*self }
    }
}

impl<'a, B> Pieces<'a, B> {
    /// The pieces, after the whole range was walked once.
    ///
    /// # Errors
    /// The first address that leads nowhere.
    #[inline]
    pub(super) fn checked(
        table: &'a MemoryTable<B>,
        route: Route<'a>,
        address: u64,
        len: u64,
    ) -> Result<Self, u64> {
        let mut walk = Self { table, route, address, left: len };
        if len == 0 {
            route.reach(table, address, 0).ok_or(address)?;
        }
        while walk.left > 0 {
            walk.next().ok_or(walk.address)?;
        }
        Ok(Self { table, route, address, left: len })
    }

    /// The table that the pieces are in.
    #[must_use]
    #[inline]
    pub const fn table(&self) -> &'a MemoryTable<B> {
        self.table
    }
}

impl<B> Iterator for Pieces<'_, B> {
    type Item = Location;

    #[inline]
    fn next(&mut self) -> Option<Location> {
        if self.left == 0 {
            return None;
        }
        let location = self.route.reach(self.table, self.address, self.left)?;
        // A location is as long as 1 to `left` bytes and ends in a region, so nothing wraps.
        self.left = self.left.checked_sub(location.len)?;
        self.address = self.address.checked_add(location.len)?;
        Some(location)
    }
}

/// A range of memory cannot be accessed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ResolveError {
    /// It is not in the table.
    Memory(MemoryError),
    /// Its translation is not known yet.
    Miss(Miss),
}

impl ResolveError {
    /// The requirement that was broken.
    #[must_use]
    pub const fn rule(self) -> Rule {
        match self {
            Self::Memory(error) => error.rule(),
            Self::Miss(miss) => miss.rule(),
        }
    }
}

impl From<MemoryError> for ResolveError {
    fn from(error: MemoryError) -> Self {
        Self::Memory(error)
    }
}

impl From<Miss> for ResolveError {
    fn from(miss: Miss) -> Self {
        Self::Miss(miss)
    }
}

impl core::fmt::Display for ResolveError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Memory(error) => error.fmt(f),
            Self::Miss(miss) => miss.fmt(f),
        }
    }
}

impl core::error::Error for ResolveError {}

/// Finds a range of any kind of address. With [`AddressKind::Iova`] it goes through the IOTLB,
/// and region addresses are not looked at (VU-146); without an IOTLB there, it is a miss.
///
/// # Errors
/// [`ResolveError`] for the first address that leads nowhere.
#[inline]
pub fn resolve<'a, B>(
    table: &'a MemoryTable<B>,
    iotlb: Option<&'a Iotlb>,
    kind: AddressKind,
    address: u64,
    len: u64,
    access: Access,
) -> Result<Pieces<'a, B>, ResolveError> {
    walk(table, iotlb, kind, address, len, access).map_err(|address| match kind {
        AddressKind::User => MemoryError::UserUnmapped { address }.into(),
        AddressKind::Guest => MemoryError::GuestUnmapped { address }.into(),
        AddressKind::Iova => Miss { iova: address, permissions: access.permissions() }.into(),
    })
}

/// What of the `len` bytes from `address` lies next to each other. `None` when the first byte
/// leads nowhere.
#[inline]
pub(crate) fn reach<B>(
    table: &MemoryTable<B>,
    iotlb: Option<&Iotlb>,
    kind: AddressKind,
    address: u64,
    len: u64,
    access: Access,
) -> Option<Location> {
    route(iotlb, kind, access)?.reach(table, address, len)
}

/// How addresses of this kind become locations; `None` when nothing is known about them.
#[inline]
const fn route(iotlb: Option<&Iotlb>, kind: AddressKind, access: Access) -> Option<Route<'_>> {
    Some(match (kind, iotlb) {
        (AddressKind::User, _) => Route::Direct(Space::User),
        (AddressKind::Guest, _) => Route::Direct(Space::Guest),
        (AddressKind::Iova, Some(iotlb)) => Route::Iotlb(iotlb, access),
        (AddressKind::Iova, None) => return None,
    })
}

/// As [`resolve`]; the error is the first address that leads nowhere.
#[inline]
pub(super) fn walk<'a, B>(
    table: &'a MemoryTable<B>,
    iotlb: Option<&'a Iotlb>,
    kind: AddressKind,
    address: u64,
    len: u64,
    access: Access,
) -> Result<Pieces<'a, B>, u64> {
    let route = route(iotlb, kind, access).ok_or(address)?;
    Pieces::checked(table, route, address, len)
}
