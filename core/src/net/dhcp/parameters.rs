//! The options that a server hands out, encoded once.

use arrayvec::ArrayVec;

use super::config::{Config, ConfigError, INFINITE, Route, USUAL_MTU};
use super::error::DhcpError;
use super::message::Message;
use super::option;
use super::reply::Writer;

/// Bytes of all options together that a server keeps (DC-122).
pub(super) const MAX_PARAMETERS: usize = 1024;

/// Codes that a server can have.
const MAX_CODES: usize = 16;

/// Bytes of the longest value: 32 routes of 9 bytes.
const MAX_VALUE: usize = 288;

/// Where an option lies in the bytes.
#[derive(Clone, Copy, Debug)]
struct Entry {
    start: usize,
    end: usize,
}

/// Options, each as it is sent: with code and length, and split when it is long (DH-043).
#[derive(Clone, Debug)]
pub(super) struct Parameters {
    bytes: ArrayVec<u8, MAX_PARAMETERS>,
    /// In the order in which a client gets them that did not ask.
    entries: ArrayVec<Entry, MAX_CODES>,
    /// For each code, what a client gets that asks for it.
    asked: [Set; 256],
    /// What a client gets that did not ask.
    unasked: Set,
    /// Without these a guest gets nowhere: they are kept when room is short, and sent also to a
    /// client that did not ask for them (DC-117). The MTU is one of them only when it is unusual.
    essential: Set,
    /// What only an answer with a lease has.
    timers: Set,
}

/// Entries, as bits.
#[derive(Clone, Copy, Debug, Default)]
struct Set(u16);

/// All that there can be.
const ALL: Set = Set(u16::MAX);

const _: () = assert!(MAX_CODES <= u16::BITS as usize);

impl Set {
    const fn add(&mut self, at: usize) {
        self.0 |= 1 << at;
    }

    #[inline]
    const fn has(self, at: usize) -> bool {
        self.0 >> at & 1 == 1
    }

    /// Those that `other` does not have.
    #[inline]
    const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    #[inline]
    const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Its entries in order.
    #[inline]
    fn iter(self) -> impl Iterator<Item = usize> {
        let mut left = self.0;
        core::iter::from_fn(move || {
            let first = left.trailing_zeros() as usize;
            let rest = left.checked_sub(1)?;
            left &= rest;
            Some(first)
        })
    }
}

/// What becomes of the entries in an answer.
#[derive(Clone, Copy)]
struct Choice {
    /// Bytes for those that no room is kept for.
    room: usize,
    kept: Set,
    /// Those that were sent, and those that are not.
    done: Set,
}

impl Parameters {
    /// Encodes what is configured, in the order in which a client gets it that did not ask.
    ///
    /// # Errors
    /// When it is too much to keep.
    pub(super) fn of(config: &Config) -> Result<Self, ConfigError> {
        let mut all = Self {
            bytes: ArrayVec::new(),
            entries: ArrayVec::new(),
            asked: [Set::default(); 256],
            unasked: Set::default(),
            essential: Set::default(),
            timers: Set::default(),
        };
        let is_finite = config.lease != INFINITE;
        all.add(option::MASK, config.mask().octets())?;
        all.add(option::ROUTER, config.router.into_iter().flat_map(|it| it.octets()))?;
        all.add(option::ROUTES, config.routes.iter().flat_map(route))?;
        all.add(option::DNS, config.dns.iter().flat_map(|it| it.octets()))?;
        all.add(option::MTU, config.mtu.to_be_bytes())?;
        all.add(option::BROADCAST, config.broadcast.into_iter().flat_map(|it| it.octets()))?;
        all.add(option::DOMAIN, config.domain.iter().copied())?;
        all.add(option::HOST_NAME, config.host_name.iter().copied())?;
        all.add(option::NTP, config.ntp.iter().flat_map(|it| it.octets()))?;
        // A lease without an end is never renewed (DH-038).
        let time = |time: u32| is_finite.then_some(time.to_be_bytes()).into_iter().flatten();
        all.add(option::RENEWAL, time(config.renewal()))?;
        all.add(option::REBINDING, time(config.rebinding()))?;
        all.add(option::TFTP_SERVER, config.tftp_server.iter().copied())?;
        all.add(option::BOOT_FILE, config.boot_file.iter().copied())?;
        all.add(option::OLD_ROUTES, config.routes.iter().flat_map(route))?;
        for code in [option::MASK, option::ROUTER, option::ROUTES] {
            all.essential = all.essential.with(all.of_code(code));
        }
        if config.mtu != USUAL_MTU {
            all.essential = all.essential.with(all.of_code(option::MTU));
        }
        all.timers = all.of_code(option::RENEWAL).with(all.of_code(option::REBINDING));
        all.unasked = all.unasked.without(all.of_code(option::OLD_ROUTES));
        // The mask comes before the router (DH-040), and is the first of all.
        let mask = all.of_code(option::MASK);
        if let Some(asked) = all.asked.get_mut(usize::from(option::ROUTER)) {
            *asked = asked.with(mask);
        }
        Ok(all)
    }

    /// Adds an option with these bytes; one without bytes is not configured.
    fn add(&mut self, code: u8, value: impl IntoIterator<Item = u8>) -> Result<(), ConfigError> {
        let value: ArrayVec<u8, MAX_VALUE> = value.into_iter().take(MAX_VALUE).collect();
        if value.is_empty() {
            return Ok(());
        }
        let start = self.bytes.len();
        for piece in value.chunks(255) {
            let len = u8::try_from(piece.len()).unwrap_or(u8::MAX);
            for part in [&[code, len], piece] {
                self.bytes.try_extend_from_slice(part).map_err(|_| ConfigError::TooMuch)?;
            }
        }
        let (at, end) = (self.entries.len(), self.bytes.len());
        self.entries.try_push(Entry { start, end }).map_err(|_| ConfigError::TooMuch)?;
        self.unasked.add(at);
        if let Some(asked) = self.asked.get_mut(usize::from(code)) {
            asked.add(at);
        }
        Ok(())
    }

    /// What a client gets that asks for an option.
    #[inline]
    fn of_code(&self, code: u8) -> Set {
        self.asked.get(usize::from(code)).copied().unwrap_or_default()
    }

    #[inline]
    fn encoded(&self, at: usize) -> Option<&[u8]> {
        let entry = self.entries.get(at)?;
        self.bytes.get(entry.start..entry.end)
    }

    /// Keeps room for what has to be sent.
    #[inline]
    fn keep(&self, room: usize) -> Choice {
        let mut choice = Choice { room, kept: Set::default(), done: Set::default() };
        if self.bytes.len() <= room {
            choice.kept = ALL;
            return choice;
        }
        for at in self.essential.iter() {
            let len = self.encoded(at).map_or(0, <[u8]>::len);
            if let Some(left) = choice.room.checked_sub(len) {
                choice.room = left;
                choice.kept.add(at);
            }
        }
        choice
    }

    /// Writes the options of an answer, each once (DH-039): those that the client asked for in
    /// its order, then the essential ones. Together they have at most `room` bytes.
    ///
    /// # Errors
    /// When the buffer of the answer ends before.
    pub(super) fn write(
        &self,
        message: &Message<'_>,
        has_lease: bool,
        room: usize,
        writer: &mut Writer<'_>,
    ) -> Result<(), DhcpError> {
        let mut choice = self.keep(room);
        if !has_lease {
            choice.done = self.timers; // There is nothing to renew.
        }
        // Whatever was asked for, the essential ones come in the end.
        let last = [self.essential];
        match message.parameters.map(|codes| (codes, codes.whole())) {
            Some((_, Some(codes))) => {
                let asked = codes.iter().map(|code| self.of_code(*code));
                self.send(asked.chain(last), choice, writer)
            }
            Some((codes, None)) => {
                let asked = codes.bytes().map(|code| self.of_code(code));
                self.send(asked.chain(last), choice, writer)
            }
            None => self.send([self.unasked, self.essential].into_iter(), choice, writer),
        }
    }

    /// Writes these entries, as far as there is room.
    #[inline]
    fn send(
        &self,
        sets: impl Iterator<Item = Set>,
        mut choice: Choice,
        writer: &mut Writer<'_>,
    ) -> Result<(), DhcpError> {
        for set in sets {
            for at in set.without(choice.done).iter() {
                let Some(encoded) = self.encoded(at) else { continue };
                if !choice.kept.has(at) {
                    let Some(left) = choice.room.checked_sub(encoded.len()) else { continue };
                    choice.room = left; // DH-041
                }
                writer.put(encoded)?;
            }
            choice.done = choice.done.with(set);
        }
        Ok(())
    }
}

/// A route, with as few bytes of the destination as its width needs (DH-044).
fn route(route: &Route) -> impl Iterator<Item = u8> + use<> {
    let significant = usize::from(route.width.div_ceil(8));
    let destination = route.destination.octets().into_iter().take(significant);
    [route.width].into_iter().chain(destination).chain(route.router.octets())
}
