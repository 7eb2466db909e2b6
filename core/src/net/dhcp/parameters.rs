//! The options that a server hands out, encoded once.

use arrayvec::ArrayVec;

use super::config::{Config, ConfigError, INFINITE, Route};
use super::message::Message;
use super::option;

/// Bytes of all options together that a server keeps (DC-122).
pub(super) const MAX_PARAMETERS: usize = 1024;

/// Codes that a server can have.
const MAX_CODES: usize = 16;

/// Bytes of the longest value: 32 routes of 9 bytes.
const MAX_VALUE: usize = 288;

/// Without these a guest gets nowhere: they are kept when room is short, and sent also to a
/// client that did not ask for them (DC-117). The MTU is one of them only when it is unusual.
const ESSENTIAL: [u8; 4] = [option::MASK, option::ROUTER, option::ROUTES, option::MTU];

#[derive(Clone, Copy, Debug)]
struct Entry {
    code: u8,
    start: usize,
    end: usize,
    is_essential: bool,
}

/// Options, each as it is sent: with code and length, and split when it is long (DH-043).
#[derive(Clone, Debug, Default)]
pub(super) struct Parameters {
    bytes: ArrayVec<u8, MAX_PARAMETERS>,
    entries: ArrayVec<Entry, MAX_CODES>,
}

/// Option numbers of an answer, as bits: places in the table of entries.
#[derive(Clone, Copy, Default)]
struct Set(u32);

impl Set {
    const fn has(self, at: usize) -> bool {
        self.0 >> at & 1 == 1
    }

    const fn add(&mut self, at: usize) {
        self.0 |= 1 << at;
    }
}

impl Parameters {
    /// Encodes what is configured, in the order in which a client gets it that did not ask.
    ///
    /// # Errors
    /// When it is too much to keep.
    pub(super) fn of(config: &Config) -> Result<Self, ConfigError> {
        let mut all = Self::default();
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
        let usual = config.mtu == super::config::USUAL_MTU;
        for entry in &mut all.entries {
            entry.is_essential &= entry.code != option::MTU || !usual;
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
        let (end, is_essential) = (self.bytes.len(), ESSENTIAL.contains(&code));
        let entry = Entry { code, start, end, is_essential };
        self.entries.try_push(entry).map_err(|_| ConfigError::TooMuch)
    }

    fn find(&self, code: u8) -> Option<usize> {
        self.entries.iter().position(|entry| entry.code == code)
    }

    fn encoded(&self, at: usize) -> &[u8] {
        self.entries
            .get(at)
            .and_then(|entry| self.bytes.get(entry.start..entry.end))
            .unwrap_or_default()
    }

    /// Gives the options of an answer to `send`, one after another, each once (DH-039): those
    /// that the client asked for in its order, then the essential ones. Together they have at
    /// most `room` bytes.
    ///
    /// # Errors
    /// That of `send`.
    pub(super) fn send<E>(
        &self,
        message: &Message<'_>,
        has_lease: bool,
        room: usize,
        mut send: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut room = room;
        let (mut kept, mut done) = (Set::default(), Set::default());
        for code in ESSENTIAL {
            let Some(at) = self.find(code) else { continue };
            let is_essential = self.entries.get(at).is_some_and(|entry| entry.is_essential);
            if let Some(left) = room.checked_sub(self.encoded(at).len())
                && is_essential
            {
                room = left;
                kept.add(at);
            }
        }
        let mut one = |at: usize| {
            let code = self.entries.get(at).map(|entry| entry.code);
            let is_timer = matches!(code, Some(option::RENEWAL | option::REBINDING));
            if done.has(at) || (is_timer && !has_lease) {
                return Ok(());
            }
            done.add(at);
            let encoded = self.encoded(at);
            if kept.has(at) {
                return send(encoded);
            }
            match room.checked_sub(encoded.len()) {
                Some(left) => {
                    room = left;
                    send(encoded)
                }
                None => Ok(()), // DH-041
            }
        };
        let mask = self.find(option::MASK);
        let mut wanted = |code: u8| {
            // The mask comes before the router (DH-040).
            let before = mask.filter(|_| code == option::ROUTER);
            before.into_iter().chain(self.find(code)).try_for_each(&mut one)
        };
        match message.parameters {
            Some(codes) => codes.bytes().try_for_each(&mut wanted)?,
            None => {
                let codes = self.entries.iter().map(|entry| entry.code);
                codes.filter(|code| *code != option::OLD_ROUTES).try_for_each(&mut wanted)?;
            }
        }
        let essential = self.entries.iter().filter(|entry| entry.is_essential);
        essential.map(|entry| entry.code).try_for_each(wanted)
    }
}

/// A route, with as few bytes of the destination as its width needs (DH-044).
fn route(route: &Route) -> impl Iterator<Item = u8> + use<> {
    let significant = usize::from(route.width.div_ceil(8));
    let destination = route.destination.octets().into_iter().take(significant);
    [route.width].into_iter().chain(destination).chain(route.router.octets())
}
