//! What one message means, judged in the order of spec §1.7: header, payload size, descriptors.

use super::table::{BACKEND, Field, MAIN, P, REGION, XEN_REGION};
use super::{Context, flags, number};
use crate::{Id, Verdict};

/// Where the fields of a legal message are. Offsets count from the start of the payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meaning {
    /// Fields at the front.
    pub fields: &'static [Field],
    /// Fields of one region after them.
    pub region: &'static [Field],
    /// How often the region is there.
    pub regions: usize,
    /// Offset of what follows, to the end of the payload, as bytes.
    pub rest: usize,
}

impl Meaning {
    const fn plain(payload: P, rest: usize) -> Self {
        Self { fields: payload.fields(), region: &[], regions: 0, rest }
    }
}

// Ids with rules that the tables do not hold.
const GET_CONFIG: u64 = 24;
const ADD_MEM_REG: u64 = 37;
const GET_SHARED_OBJECT: u64 = 41;
const SET_DEVICE_STATE_FD: u64 = 42;
const SHARED_OBJECT_LOOKUP: u64 = 8;

/// Judges the bytes of one message and the number of descriptors that came with it.
#[must_use]
pub fn judge(context: Context, bytes: &[u8], fds: usize) -> Verdict<Meaning> {
    match meaning(context, bytes, fds) {
        Ok(meaning) => Verdict::Accept(meaning),
        Err(id) => Verdict::Reject(id),
    }
}

fn row(context: Context, code: u64) -> Option<(P, [usize; 2])> {
    let table: &[_] = if context.backend_channel { &BACKEND } else { &MAIN };
    let (request, fds, reply, reply_fds) = (*table.get(usize::try_from(code).ok()?)?)?;
    Some(if context.reply { (reply, reply_fds) } else { (request, fds) })
}

/// How many descriptors a sender would attach to such a message.
#[must_use]
#[inline]
pub fn natural_fds(context: Context, bytes: &[u8]) -> usize {
    let Some((payload, [min, _])) =
        (bytes.len() >= 12).then(|| row(context, number(bytes, 0, 4))).flatten()
    else {
        return 0;
    };
    let body = &bytes[12..];
    match payload {
        P::VringFd | P::Area if body.len() >= 8 => usize::from(!bit_8(body)),
        P::MemTable if !context.reply && body.len() >= 4 => {
            usize::try_from(number(body, 0, 4).min(8)).unwrap_or(8)
        }
        P::Log if !context.reply => usize::from(context.log_shmfd),
        P::Inflight if context.reply && body.len() >= 8 => usize::from(number(body, 0, 8) != 0),
        P::U64 if context.reply && body.len() >= 8 => {
            let (code, value) = (number(bytes, 0, 4), number(body, 0, 8));
            let lookup = context.backend_channel && code == SHARED_OBJECT_LOOKUP && value == 0;
            let state = !context.backend_channel
                && code == SET_DEVICE_STATE_FD
                && value.is_multiple_of(512);
            usize::from(lookup || state)
        }
        _ => min,
    }
}

/// Bit 8 of the u64 at the front of a payload.
fn bit_8(body: &[u8]) -> bool {
    number(body, 0, 8) / 256 % 2 == 1
}

fn meaning(context: Context, bytes: &[u8], fds: usize) -> Result<Meaning, Id> {
    if bytes.len() < 12 {
        return Err(Id::Vu(1));
    }
    flags(bytes, context)?;
    let code = number(bytes, 0, 4);
    let body = &bytes[12..];
    if number(bytes, 8, 4) != body.len() as u64 {
        return Err(Id::Vu(1));
    }
    let Some((payload, [min, max])) = row(context, code) else {
        return Ok(Meaning::plain(P::None, 0));
    };
    let meaning = size(context, code, payload, body, fds)?;
    let is_postcopy_ack =
        payload == P::MemTable && !context.reply && meaning.regions == 0 && context.postcopy_ack;
    match payload {
        P::MemTable if is_postcopy_ack => {}
        P::MemTable if !context.reply => {
            if fds != meaning.regions {
                return Err(Id::Vu(128));
            }
        }
        P::Log if !context.reply => {
            if fds != usize::from(context.log_shmfd) {
                return Err(Id::Vu(20));
            }
        }
        _ => {
            if fds < min || fds > max {
                return Err(Id::Vu(20));
            }
        }
    }
    agreement(context, code, payload, body, fds)?;
    Ok(meaning)
}

/// Spec §2: which sizes a payload may have, and where its fields are then.
fn size(context: Context, code: u64, payload: P, body: &[u8], fds: usize) -> Result<Meaning, Id> {
    let len = body.len();
    let region = if context.xen_mmap { XEN_REGION } else { REGION };
    let region_len = if context.xen_mmap { 40 } else { 32 };
    let u64_only = Meaning::plain(P::U64, 8);
    let wrong = Err(Id::Dc(5));
    match payload {
        P::MemTable => {
            if context.reply && len == 8 {
                return Ok(u64_only);
            }
            if !context.reply && context.postcopy_ack && fds == 0 && len == 0 {
                return Ok(Meaning::plain(P::None, 0));
            }
            if !context.reply && context.postcopy_ack && fds == 0 && len == 8 {
                return Ok(u64_only);
            }
            if len < 8 || len > 8 + 8 * region_len {
                return wrong;
            }
            let regions = number(body, 0, 4);
            if !(1..=8).contains(&regions) {
                return Err(Id::Vu(129));
            }
            let regions = usize::try_from(regions).unwrap_or(8);
            let rest = 8 + regions * region_len;
            if len < rest {
                return wrong;
            }
            Ok(Meaning { fields: P::MemTable.fields(), region, regions, rest })
        }
        P::MemReg if context.reply && code == ADD_MEM_REG && len == 8 => Ok(u64_only),
        P::MemReg => {
            if len != 8 + region_len {
                return wrong;
            }
            Ok(Meaning { fields: P::MemReg.fields(), region, regions: 1, rest: len })
        }
        P::Log => {
            let sizes: &[usize] = match (context.reply, context.log_shmfd) {
                (true, _) => &[0, 8, 16],
                (false, true) => &[16],
                (false, false) => &[8, 16],
            };
            match sizes.contains(&len).then_some(len) {
                Some(0) => Ok(Meaning::plain(P::None, 0)),
                Some(8) => Ok(u64_only),
                Some(_) => Ok(Meaning::plain(P::Log, 16)),
                None => wrong,
            }
        }
        P::Config => config(context, code, body),
        P::Shared if code == GET_SHARED_OBJECT && !context.backend_channel && len == 0 => {
            Ok(Meaning::plain(P::None, 0))
        }
        _ if len == payload.front_len() => Ok(Meaning::plain(payload, len)),
        _ => wrong,
    }
}

fn config(context: Context, code: u64, body: &[u8]) -> Result<Meaning, Id> {
    let len = body.len() as u64;
    if context.reply && len == 0 {
        return Ok(Meaning::plain(P::None, 0));
    }
    if len < 12 {
        return Err(Id::Dc(5));
    }
    let size = number(body, 4, 4);
    if code == GET_CONFIG {
        if len != 12 + size {
            return Err(Id::Dc(7));
        }
    } else {
        if len < 12 + size {
            return Err(Id::Vu(269));
        }
        if len > 12 + size && len > 268 {
            return Err(Id::Dc(5));
        }
    }
    Ok(Meaning::plain(P::Config, 12))
}

/// Payload and descriptors have to agree.
fn agreement(context: Context, code: u64, payload: P, body: &[u8], fds: usize) -> Result<(), Id> {
    match (payload, context.backend_channel, context.reply) {
        (P::VringFd | P::Area, _, false) => {
            let says_none = bit_8(body);
            if says_none != (fds == 0) {
                return Err(match code {
                    12 => Id::Vu(99),
                    13 => Id::Vu(102),
                    14 => Id::Vu(105),
                    _ => Id::Dc(10),
                });
            }
        }
        (P::Inflight, false, true) => {
            let is_none = number(body, 0, 8) == 0;
            if is_none != (fds == 0) {
                return Err(Id::Vu(179));
            }
        }
        (P::U64, false, true) if code == SET_DEVICE_STATE_FD => {
            let value = number(body, 0, 8);
            if !value.is_multiple_of(256) && fds != 0 {
                return Err(Id::Vu(162));
            }
            if bit_8(body) != (fds == 0) {
                return Err(Id::Vu(161));
            }
        }
        (P::U64, true, true) if code == SHARED_OBJECT_LOOKUP => {
            let failed = number(body, 0, 8) != 0;
            if failed != (fds == 0) {
                return Err(Id::Vu(232));
            }
        }
        (P::Crypto, false, false) => {
            let asymmetric = number(body, 0, 8) % (1 << 32) == 0x404;
            let too_long = if asymmetric {
                number(body, 16, 4) > 1024
            } else {
                number(body, 12, 4) > 64 || number(body, 24, 4) > 512
            };
            if too_long {
                return Err(Id::Dc(8));
            }
        }
        _ => {}
    }
    Ok(())
}
